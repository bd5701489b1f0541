// SPDX-License-Identifier: Apache-2.0
// Pages of keys and values in codes: what is read back, and attention over it.
import CEftKernels
import Testing

struct AttentionCodeTests {
    static let shapes = [(8, 8), (8, 4), (4, 4)].flatMap { bits in
        [(4, 2, 32), (6, 1, 64), (2, 2, 96), (8, 2, 128), (3, 1, 256)].map { heads, kvHeads, dim in
            AttentionShape(
                heads: heads, kvHeads: kvHeads, dim: dim, keyBits: bits.0, valueBits: bits.1)
        }
    }

    /// Keys and values of all positions as the pages hold them.
    private static func read(
        _ sequence: AttentionSequence, _ pages: Pages, level: KernelLevel
    ) throws -> (k: [Float], v: [Float]) {
        var attention = sequence.shape.parameters(EFT_F32)
        var k = sequence.k, v = sequence.v
        let ld = sequence.kvColumns
        try level.run {
            eft_kv_read($0, &attention, sequence.length, 0, pages.addresses, &k, ld, &v, ld)
        }
        withExtendedLifetime(pages) {}
        return (k, v)
    }

    /// The rotation in f64, from its definition: entry (i, j) is -1 to the bits that i and j share.
    private static func rotated(_ run: ArraySlice<Float>) -> [Double] {
        (0..<32).map { i in
            run.enumerated().reduce(0.0) { sum, item in
                sum + ((i & item.offset).nonzeroBitCount % 2 == 0 ? 1 : -1) * Double(item.element)
            } / 32.0.squareRoot()
        }
    }

    @Test(arguments: shapes)
    func `what is read is near what was written, after the rotation`(
        shape: AttentionShape
    ) throws {
        let sequence = AttentionSequence(shape, first: 0, rows: 37)
        let (k, v) = try Self.read(sequence, sequence.pages(), level: .scalar)
        for (written, found, bits) in [
            (sequence.k, k, shape.keyBits), (sequence.v, v, shape.valueBits),
        ] {
            if bits == 4 {
                Self.checkClipped(written, found)
                continue
            }
            for start in stride(from: 0, to: written.count, by: 32) {
                let before = Self.rotated(written[start..<start + 32])
                let after = Self.rotated(found[start..<start + 32])
                let step = (before.map(abs).max() ?? 0) / 127.5
                for (a, b) in zip(before, after) {
                    // Half a step; the scale itself is a half number: 2^-11 of up to 128 steps.
                    #expect(abs(a - b) <= step * 0.57)
                }
            }
        }
    }

    /// 4-bit codes lose no more than with the scale that reaches the largest number of each run, and less in all.
    private static func checkClipped(_ written: [Float], _ found: [Float]) {
        var (plain, clipped) = (0.0, 0.0)
        for start in stride(from: 0, to: written.count, by: 32) {
            let before = rotated(written[start..<start + 32])
            let after = rotated(found[start..<start + 32])
            let step = (before.map(abs).max() ?? 0) / 7.5
            var (most, least) = (0.0, 0.0)
            for (a, b) in zip(before, after) {
                let code = max(-8, min((a / step).rounded(), 7))
                most += (code * step - a) * (code * step - a)
                least += (b - a) * (b - a)
            }
            #expect(least <= most * 1.01)
            plain += most
            clipped += least
        }
        #expect(clipped < 0.95 * plain)
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `attention is that over the numbers which the pages hold`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        for (first, rows) in [(0, 1), (0, 37), (15, 2), (64, 1), (70, 75)] {
            let sequence = AttentionSequence(shape, first: first, rows: rows)
            let pages = try sequence.pages(level: level)
            let (k, v) = try Self.read(sequence, pages, level: level)
            let result = try AttentionResult([sequence], pages: [pages], level: level)
            let wanted = sequence.wanted(q: sequence.q.doubles, k: k.doubles, v: v.doubles)
            #expect(distance(result.out[0], wanted.out) < 1e-5)
            #expect(distance(result.lse[0], wanted.lse) < 3e-6)
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `a row alone gives the same bits, in pages written token by token`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        let whole = AttentionSequence(shape, first: 0, rows: 90)
        let pages = try whole.pages(level: level)
        let together = try AttentionResult([whole], pages: [pages], level: level)
        var attention = shape.parameters(EFT_F32)
        let single = Pages(6, bytes: eft_kv_page_bytes(&attention))
        let ld = whole.kvColumns
        try level.run { context in
            for t in 0..<90 {
                let k = Array(whole.k[t * ld..<(t + 1) * ld]),
                    v = Array(whole.v[t * ld..<(t + 1) * ld])
                eft_kv_write(context, &attention, 1, t, k, ld, v, ld, single.addresses)
            }
        }
        for (first, rows) in [(0, 1), (15, 1), (17, 2), (63, 5), (89, 1)] {
            let part = AttentionSequence(part: whole, first: first, rows: rows)
            let alone = try AttentionResult([part], pages: [single], level: level)
            let range = first * whole.columns..<(first + rows) * whole.columns
            #expect(sameBits(alone.out[0], Array(together.out[0][range])))
        }
    }

    @Test func `zeros stay zero, and what is not finite stays with its token`() throws {
        let shape = AttentionShape(heads: 1, kvHeads: 1, dim: 32, keyBits: 4, valueBits: 4)
        var attention = shape.parameters(EFT_F32)
        let page = Pages(1, bytes: eft_kv_page_bytes(&attention))
        var k = [Float](repeating: 0, count: 16 * 32), v = k
        k[3 * 32] = .nan
        v[5 * 32] = .infinity
        try KernelLevel.scalar.run {
            eft_kv_write($0, &attention, 16, 0, k, 32, v, 32, page.addresses)
            eft_kv_read($0, &attention, 16, 0, page.addresses, &k, 32, &v, 32)
        }
        withExtendedLifetime(page) {}
        for t in 0..<16 {
            #expect(k[t * 32..<(t + 1) * 32].allSatisfy { t == 3 ? $0.isNaN : $0 == 0 })
            #expect(v[t * 32..<(t + 1) * 32].allSatisfy { t == 5 ? $0.isNaN : $0 == 0 })
        }
    }
}
