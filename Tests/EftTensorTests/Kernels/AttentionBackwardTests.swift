// SPDX-License-Identifier: Apache-2.0
// Gradients of attention against differences and against the formula.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct AttentionBackwardTests {
    struct Gradients {
        var dq: [Float] = []
        var dk: [Float] = []
        var dv: [Float] = []
    }

    /// Gradients by the kernel, on top of `start` in all gradient pages.
    private static func gradients(
        _ sequences: [AttentionSequence], start: Float = 0, level: KernelLevel, threads: Int = 1
    ) throws -> [Gradients] {
        var results: [Gradients] = []
        var runs: [eft_attention_run] = [], pages: [Pages] = [], gradientPages: [Pages] = []
        var floats: [UnsafeMutableBufferPointer<Float>] = []
        var tables: [UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>] = []
        defer {
            floats.forEach { $0.deallocate() }
            tables.forEach { $0.deallocate() }
            withExtendedLifetime((pages, gradientPages)) {}
        }
        func copy(_ x: [Float]) -> UnsafeMutablePointer<Float>? {
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: x.count)
            _ = buffer.initialize(from: x)
            floats.append(buffer)
            return buffer.baseAddress
        }
        func table(_ pages: Pages) -> UnsafePointer<UnsafeMutableRawPointer?>? {
            let buffer = UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>.allocate(
                capacity: pages.addresses.count)
            _ = buffer.initialize(from: pages.addresses)
            tables.append(buffer)
            return UnsafePointer(buffer.baseAddress)
        }
        var attention = sequences[0].shape.parameters(EFT_F32)
        for sequence in sequences {
            pages.append(try sequence.pages())
            gradientPages.append(
                Pages(
                    pages[pages.count - 1].addresses.count, bytes: eft_kv_page_bytes(&attention),
                    fill: 0))
            let forward = try AttentionResult(
                [sequence], pages: [pages[pages.count - 1]], level: level)
            let starts = [Float](repeating: start, count: sequence.k.count)
            try level.run {
                eft_kv_write(
                    $0, &attention, sequence.length, 0, starts, sequence.kvColumns, starts,
                    sequence.kvColumns, gradientPages[gradientPages.count - 1].addresses)
            }
            var run = eft_attention_run()
            run.rows = sequence.rows
            run.first_position = sequence.first
            run.pages = table(pages[pages.count - 1])
            run.q = UnsafePointer(copy(sequence.q))
            run.out = copy(forward.out[0])
            run.lse = copy(forward.lse[0])
            run.dout = UnsafePointer(copy(sequence.dout))
            run.dq = copy([Float](repeating: .nan, count: sequence.q.count))
            run.gradient_pages = table(gradientPages[gradientPages.count - 1])
            runs.append(run)
        }
        let ld = sequences[0].columns
        try level.run(threads: threads) {
            eft_attention_backward($0, &attention, runs, runs.count, ld, ld)
        }
        for (i, sequence) in sequences.enumerated() {
            var result = Gradients(dk: sequence.k, dv: sequence.v)
            result.dq = Array(UnsafeBufferPointer(start: runs[i].dq, count: sequence.q.count))
            try level.run {
                eft_kv_read(
                    $0, &attention, sequence.length, 0, gradientPages[i].addresses, &result.dk,
                    sequence.kvColumns, &result.dv, sequence.kvColumns)
            }
            results.append(result)
        }
        return results
    }

    @Test(arguments: KernelLevel.all, [(0, 5), (14, 4), (0, 19)])
    func `gradients equal differences`(level: KernelLevel, place: (first: Int, rows: Int)) throws {
        for shape in [
            AttentionShape(heads: 4, kvHeads: 2, dim: 6),
            AttentionShape(heads: 4, kvHeads: 2, dim: 6, window: 4, softCap: 1.5),
        ] {
            try checkDifferences(
                AttentionSequence(shape, first: place.first, rows: place.rows), level)
        }
    }

    private func checkDifferences(_ sequence: AttentionSequence, _ level: KernelLevel) throws {
        let found = try Self.gradients([sequence], start: 0.5, level: level)[0]
        let q = sequence.q.doubles, k = sequence.k.doubles, v = sequence.v.doubles
        func loss(_ q: [Double], _ k: [Double], _ v: [Double]) -> Double {
            dot(sequence.wanted(q: q, k: k, v: v).out, sequence.dout.doubles)
        }
        #expect(distance(found.dq, slopes(at: q) { loss($0, k, v) }) < 1e-5)
        #expect(distance(found.dk, slopes(at: k) { loss(q, $0, v) }.map { $0 + 0.5 }) < 1e-5)
        #expect(distance(found.dv, slopes(at: v) { loss(q, k, $0) }.map { $0 + 0.5 }) < 1e-5)
    }

    @Test(arguments: KernelLevel.all, AttentionTests.shapes)
    func `gradients equal the formula`(level: KernelLevel, shape: AttentionShape) throws {
        for (first, rows) in [(0, 1), (0, 40), (70, 33)] {
            let sequence = AttentionSequence(shape, first: first, rows: rows)
            let found = try Self.gradients([sequence], level: level)[0]
            let wanted = sequence.wantedGradients()
            #expect(distance(found.dq, wanted.dq) < 1e-5)
            #expect(distance(found.dk, wanted.dk) < 1e-5)
            #expect(distance(found.dv, wanted.dv) < 1e-5)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `neither threads nor other runs change a bit`(level: KernelLevel) throws {
        let shape = AttentionShape(heads: 8, kvHeads: 4, dim: 24)
        let sequences = [(0, 100), (0, 7), (20, 60)].map {
            AttentionSequence(shape, first: $0.0, rows: $0.1)
        }
        let together = try Self.gradients(sequences, level: level, threads: 1)
        for threads in 2...3 {
            let again = try Self.gradients(sequences, level: level, threads: threads)
            for (a, b) in zip(together, again) {
                #expect(sameBits(a.dq, b.dq) && sameBits(a.dk, b.dk) && sameBits(a.dv, b.dv))
            }
        }
        let alone = try Self.gradients([sequences[2]], level: level)[0]
        #expect(sameBits(alone.dq, together[2].dq) && sameBits(alone.dk, together[2].dk))
    }

    @Test(arguments: KernelLevel.all)
    func `a row's gradient does not depend on the other rows`(level: KernelLevel) throws {
        let whole = AttentionSequence(
            AttentionShape(heads: 8, kvHeads: 2, dim: 40), first: 0, rows: 80)
        let together = try Self.gradients([whole], level: level)[0]
        for (first, rows) in [(0, 1), (33, 1), (50, 30)] {
            // The later positions are not there at all.
            let cut = AttentionSequence(part: whole, first: first, rows: rows)
            let alone = try Self.gradients([cut], level: level)[0]
            let range = first * whole.columns..<(first + rows) * whole.columns
            #expect(alone.dq == Array(together.dq[range]))
        }
    }
}

extension AttentionSequence {
    func wantedGradients() -> (dq: [Double], dk: [Double], dv: [Double]) {
        let result = wanted(q: q.doubles, k: k.doubles, v: v.doubles), dim = shape.dim
        var dq = [Double](repeating: 0, count: q.count), dk = [Double](repeating: 0, count: k.count)
        var dv = dk
        for t in 0..<rows {
            for h in 0..<shape.heads {
                let at = t * columns + h * dim
                let rowDot = (0..<dim).reduce(0) {
                    $0 + Double(dout[at + $1]) * result.out[at + $1]
                }
                let from = shape.firstSeen(first + t)
                for j in from...first + t {
                    let kv = j * kvColumns + h / shape.group * dim
                    var score = 0.0, pull = 0.0
                    for d in 0..<dim {
                        score += Double(q[at + d]) * Double(k[kv + d])
                        pull += Double(dout[at + d]) * Double(v[kv + d])
                    }
                    var (scaled, slope) = (score * Double(shape.scale), Double(shape.scale))
                    if shape.softCap > 0 {
                        let share = tanh(scaled / Double(shape.softCap))
                        scaled = Double(shape.softCap) * share
                        slope *= 1 - share * share
                    }
                    let weight = exp(scaled - result.lse[t * shape.heads + h])
                    let ds = weight * (pull - rowDot) * slope
                    for d in 0..<dim {
                        dv[kv + d] += weight * Double(dout[at + d])
                        dk[kv + d] += ds * Double(q[at + d])
                        dq[at + d] += ds * Double(k[kv + d])
                    }
                }
            }
        }
        return (dq, dk, dv)
    }
}
