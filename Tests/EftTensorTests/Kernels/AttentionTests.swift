// SPDX-License-Identifier: Apache-2.0
// Attention over pages against its formula, and the promise that the rest of the batch changes no bit.
import CEftKernels
import Testing

struct AttentionTests {
    static let shapes = [
        AttentionShape(heads: 1, kvHeads: 1, dim: 8), AttentionShape(heads: 4, kvHeads: 2, dim: 16),
        AttentionShape(heads: 7, kvHeads: 1, dim: 12),
        AttentionShape(heads: 6, kvHeads: 6, dim: 33),
        AttentionShape(heads: 8, kvHeads: 2, dim: 64),
        AttentionShape(heads: 3, kvHeads: 1, dim: 136),
        AttentionShape(heads: 60, kvHeads: 1, dim: 20),
        AttentionShape(heads: 4, kvHeads: 2, dim: 16, window: 1),
        AttentionShape(heads: 4, kvHeads: 1, dim: 20, window: 19),
        AttentionShape(heads: 7, kvHeads: 1, dim: 12, window: 70),
        AttentionShape(heads: 4, kvHeads: 2, dim: 32, softCap: 2),
        AttentionShape(heads: 2, kvHeads: 1, dim: 40, window: 64, softCap: 5),
        AttentionShape(heads: 4, kvHeads: 2, dim: 16, window: 1, isChunked: true),
        AttentionShape(heads: 7, kvHeads: 1, dim: 12, window: 23, isChunked: true),
        AttentionShape(heads: 4, kvHeads: 2, dim: 32, window: 64, isChunked: true),
    ]
    static let placements = [
        (0, 1), (0, 16), (0, 37), (15, 2), (16, 1), (63, 3), (64, 1), (70, 75), (130, 5),
    ]

    @Test(arguments: KernelLevel.all, shapes)
    func `equals the formula, with NaN in every masked slot`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        for (first, rows) in Self.placements {
            let sequence = AttentionSequence(shape, first: first, rows: rows)
            let result = try AttentionResult([sequence], pages: [sequence.pages()], level: level)
            let wanted = sequence.wanted(
                q: sequence.q.doubles, k: sequence.k.doubles, v: sequence.v.doubles)
            #expect(distance(result.out[0], wanted.out) < 3e-6)
            #expect(distance(result.lse[0], wanted.lse) < 1e-6)
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `16-bit pages give what their rounded numbers give`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        for type in [EFT_F16, EFT_BF16] {
            let sequence = AttentionSequence(shape, first: 40, rows: 30)
            func rounded(_ x: [Float]) throws -> [Double] {
                var halves = [UInt16](repeating: 0, count: x.count), back = x
                try KernelLevel.scalar.run {
                    eft_convert($0, x.count, x, EFT_F32, &halves, type)
                    eft_convert($0, x.count, halves, type, &back, EFT_F32)
                }
                return back.doubles
            }
            let pages = try sequence.pages(type, level: level)
            let result = try AttentionResult([sequence], pages: [pages], type: type, level: level)
            let wanted = try sequence.wanted(
                q: sequence.q.doubles, k: rounded(sequence.k), v: rounded(sequence.v))
            #expect(distance(result.out[0], wanted.out) < 3e-6)
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `rough products round to bf16 where they are fast, and nowhere else`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        func rounded(_ x: [Float]) -> [Double] {
            x.map {
                let bits = $0.bitPattern
                return Double(Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16) & 1) & 0xffff_0000))
            }
        }
        let isFast = level.isa == EFT_ISA_AVX512_BF16 && shape.dim % 16 == 0
        for (first, rows) in Self.placements {
            let sequence = AttentionSequence(shape, first: first, rows: rows)
            let pages = [try sequence.pages()]
            let rough = try AttentionResult([sequence], pages: pages, level: level, isRough: true)
            guard isFast else {
                let exact = try AttentionResult([sequence], pages: pages, level: level)
                #expect(
                    sameBits(rough.out[0], exact.out[0]) && sameBits(rough.lse[0], exact.lse[0]))
                continue
            }
            let wanted = sequence.wanted(
                q: rounded(sequence.q), k: rounded(sequence.k), v: rounded(sequence.v))
            #expect(distance(rough.lse[0], wanted.lse) < 1e-6)
            // Weights are rounded too: by half of 2^-8 each, at most.
            #expect(distance(rough.out[0], wanted.out) < 0x1p-9)
            // A single key has the weight 1.
            if rows > 1, shape.window != 1 { #expect(distance(rough.out[0], wanted.out) > 0) }
        }
    }

    @Test(arguments: shapes)
    func `rough products of a row do not depend on the rows beside it`(
        _ shape: AttentionShape
    ) throws {
        guard let level = KernelLevel.all.last else { return }
        let whole = AttentionSequence(shape, first: 0, rows: 150)
        let pages = try whole.pages()
        for threads in 1...3 {
            let together = try AttentionResult(
                [whole], pages: [pages], level: level, threads: threads, isRough: true)
            for (first, rows) in [(0, 1), (17, 2), (63, 5), (100, 50), (149, 1)] {
                let part = AttentionSequence(part: whole, first: first, rows: rows)
                let alone = try AttentionResult(
                    [part], pages: [pages], level: level, isRough: true)
                let range = first * whole.columns..<(first + rows) * whole.columns
                #expect(sameBits(alone.out[0], Array(together.out[0][range])))
            }
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `a row alone gives the same bits as among others`(
        level: KernelLevel, shape: AttentionShape
    ) throws {
        for type in [EFT_F32, EFT_F16, EFT_BF16] {
            let whole = AttentionSequence(shape, first: 0, rows: 150)
            let pages = try whole.pages(type)
            let together = try AttentionResult([whole], pages: [pages], type: type, level: level)
            for (first, rows) in [(0, 1), (15, 1), (17, 2), (64, 1), (63, 5), (100, 50), (149, 1)] {
                let part = AttentionSequence(part: whole, first: first, rows: rows)
                let alone = try AttentionResult([part], pages: [pages], type: type, level: level)
                let range = first * whole.columns..<(first + rows) * whole.columns
                #expect(sameBits(alone.out[0], Array(together.out[0][range])))
                let lses = first * shape.heads..<(first + rows) * shape.heads
                #expect(sameBits(alone.lse[0], Array(together.lse[0][lses])))
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `later keys and values do not reach earlier rows`(level: KernelLevel) throws {
        let shape = AttentionShape(heads: 8, kvHeads: 2, dim: 20)
        let sequence = AttentionSequence(shape, first: 0, rows: 90)
        let clean = try AttentionResult([sequence], pages: [sequence.pages()], level: level)
        let broken = AttentionSequence(sequence, breakingFrom: 50)
        let result = try AttentionResult([broken], pages: [broken.pages()], level: level)
        let before = 50 * sequence.columns
        #expect(sameBits(Array(result.out[0][..<before]), Array(clean.out[0][..<before])))
        #expect(result.out[0][before...].allSatisfy { $0.isNaN })
    }

    /// Keys and values before the window are NaN, as pages that were given back may be.
    @Test(arguments: KernelLevel.all, [EFT_F32, EFT_BF16])
    func `pages before every row's window are not read`(
        level: KernelLevel, type: eft_float_type
    ) throws {
        let shape = AttentionShape(heads: 6, kvHeads: 2, dim: 24, window: 30)
        let sequence = AttentionSequence(shape, first: 100, rows: 40)
        let clean = try AttentionResult(
            [sequence], pages: [sequence.pages(type)], type: type, level: level)
        // Row 100 sees positions from 71 on; the page of 64 to 79 is read.
        let broken = AttentionSequence(sequence, breakingTo: 64)
        let result = try AttentionResult(
            [broken], pages: [broken.pages(type)], type: type, level: level)
        #expect(sameBits(result.out[0], clean.out[0]) && sameBits(result.lse[0], clean.lse[0]))
    }

    @Test(arguments: KernelLevel.all)
    func `several runs on several threads give the same bits`(level: KernelLevel) throws {
        let shape = AttentionShape(heads: 8, kvHeads: 2, dim: 32)
        let sequences = Self.placements.map { AttentionSequence(shape, first: $0.0, rows: $0.1) }
        let pages = try sequences.map { try $0.pages() }
        let one = try AttentionResult(sequences, pages: pages, level: level)
        for threads in 2...3 {
            let more = try AttentionResult(sequences, pages: pages, level: level, threads: threads)
            for i in sequences.indices {
                #expect(sameBits(one.out[i], more.out[i]) && sameBits(one.lse[i], more.lse[i]))
            }
        }
        for (i, sequence) in sequences.enumerated() {
            let alone = try AttentionResult([sequence], pages: [pages[i]], level: level)
            #expect(sameBits(alone.out[0], one.out[i]))
        }
    }

    @Test(arguments: KernelLevel.all)
    func `more runs than one loop takes`(level: KernelLevel) throws {
        let shape = AttentionShape(heads: 2, kvHeads: 1, dim: 8)
        let sequences = (0..<600).map {
            AttentionSequence(shape, first: $0 % 40, rows: 1 + $0 % 3, seed: $0)
        }
        let pages = try sequences.map { try $0.pages() }
        let result = try AttentionResult(sequences, pages: pages, level: level, threads: 2)
        for (sequence, out) in zip(sequences, result.out) {
            let wanted = sequence.wanted(
                q: sequence.q.doubles, k: sequence.k.doubles, v: sequence.v.doubles)
            #expect(distance(out, wanted.out) < 3e-6)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `huge scores do not overflow`(level: KernelLevel) throws {
        let shape = AttentionShape(heads: 2, kvHeads: 1, dim: 16)
        var sequence = AttentionSequence(shape, first: 0, rows: 40)
        sequence = AttentionSequence(part: sequence, first: 0, rows: 40, queryScale: 1e6)
        let result = try AttentionResult([sequence], pages: [sequence.pages()], level: level)
        #expect(result.out[0].allSatisfy { abs($0) <= 1 })
        #expect(result.lse[0].allSatisfy { $0.isFinite })
    }
}

extension AttentionSequence {
    /// Rows first..<first+rows of a sequence that begins at 0.
    init(part whole: AttentionSequence, first: Int, rows: Int, queryScale: Float = 1) {
        shape = whole.shape
        self.first = first
        self.rows = rows
        k = whole.k
        v = whole.v
        let range = first * whole.columns..<(first + rows) * whole.columns
        q = whole.q[range].map { $0 * queryScale }
        dout = Array(whole.dout[range])
    }

    /// The same with NaN keys and values before a position.
    init(_ other: AttentionSequence, breakingTo position: Int) {
        shape = other.shape
        first = other.first
        rows = other.rows
        q = other.q
        dout = other.dout
        let end = position * other.kvColumns
        k = other.k.indices.map { $0 < end ? .nan : other.k[$0] }
        v = other.v.indices.map { $0 < end ? .nan : other.v[$0] }
    }

    /// The same with NaN keys and infinite values from a position on.
    init(_ other: AttentionSequence, breakingFrom position: Int) {
        shape = other.shape
        first = other.first
        rows = other.rows
        q = other.q
        dout = other.dout
        let from = position * other.kvColumns
        k = other.k.indices.map { $0 < from ? other.k[$0] : .nan }
        v = other.v.indices.map { $0 < from ? other.v[$0] : .infinity }
    }
}
