// SPDX-License-Identifier: Apache-2.0
// Several products of the same rows at once give the bits that each gives alone.
import CEftKernels
import Testing

/// Weights of the same inputs, and where their products go: strides exceed the columns by 3, what the results held is 2.
private struct Together {
    let weights: [TestWeight]

    /// Bytes that the largest product needs alone.
    private func workspace(
        _ context: OpaquePointer, _ precision: eft_precision, rows: Int
    ) -> Int {
        weights.map { w in
            withUnsafePointer(to: w.weight) {
                eft_matmul_workspace(context, $0, precision, rows)
            }
        }.max() ?? 0
    }

    /// Runs `body` with products that add when `accumulate` says so; returns all results.
    private func results(
        _ context: OpaquePointer, _ precision: eft_precision, rows: Int, accumulate: [Bool],
        _ body: ([eft_product], UnsafeMutableRawPointer) -> Void
    ) -> [[Float]] {
        let places = weights.map { Chunk(rows * ($0.outputs + 3) * 4) }
        let products = zip(zip(weights, places), accumulate).map { place, accumulate in
            let (w, memory) = place
            let y = memory.bytes.bindMemory(to: Float.self, capacity: rows * (w.outputs + 3))
            y.update(repeating: 2, count: rows * (w.outputs + 3))
            return eft_product(w: w.weight, y: y, ldy: w.outputs + 3, accumulate: accumulate)
        }
        let bytes = workspace(context, precision, rows: rows)
        let space = Chunk(bytes + 64)
        body(products, space.bytes)
        let guardBytes = UnsafeRawBufferPointer(start: space.bytes + bytes, count: 64)
        #expect(guardBytes.allSatisfy { $0 == 0xff }, "wrote beyond its workspace")
        return zip(weights, places).map { w, memory in
            let y = memory.bytes.assumingMemoryBound(to: Float.self)
            return Array(UnsafeBufferPointer(start: y, count: rows * (w.outputs + 3)))
        }
    }

    /// All products at once.
    func atOnce(
        _ context: OpaquePointer, _ precision: eft_precision, rows: Int, x: [Float],
        accumulate: [Bool]
    ) -> [[Float]] {
        results(context, precision, rows: rows, accumulate: accumulate) { products, space in
            eft_matmul_together(
                context, products, products.count, precision, rows, x, weights[0].inputs + 3,
                space)
        }
    }

    /// The gated pair of the first two weights, and what became of the memory of the second product.
    func gated(
        _ context: OpaquePointer, _ kind: eft_activation, _ precision: eft_precision, rows: Int,
        x: [Float]
    ) -> (values: [Float], scratch: [Float], isDone: Bool) {
        var isDone = false
        let found = results(
            context, precision, rows: rows, accumulate: [false, false]
        ) { products, space in
            isDone = eft_matmul_gated(
                context, products[0], products[1], kind, precision, rows, x,
                weights[0].inputs + 3, space)
        }
        return (found[0], found[1], isDone)
    }
}

struct MatmulTogetherTests {
    static let precisions = [
        EFT_PRECISION_F32, EFT_PRECISION_BF16, EFT_PRECISION_INT16, EFT_PRECISION_INT8,
    ]
    private static let product = Product(transposed: false)

    @Test(
        arguments: KernelLevel.all,
        [WeightForm.f32, .f16, .bf16, .codes4, .nf4, .e4m3, .e2m1, .mixed])
    func `products at once have the bits of each alone`(
        level: KernelLevel, form: WeightForm
    ) throws {
        // Two that share their packed rows, one in another order of inputs, one of other groups, two that share again.
        let coded = !form.isDense
        let together = Together(weights: [
            try TestWeight(form, inputs: 160, outputs: 33, scales: .exl2, permuted: coded),
            try TestWeight(form, inputs: 160, outputs: 170, scales: .f32, permuted: coded),
            try TestWeight(form, inputs: 160, outputs: 20),
            try TestWeight(coded ? .codes6 : .bf16, inputs: 160, outputs: 48),
            try TestWeight(form, inputs: 160, outputs: 16, permuted: coded),
            try TestWeight(form, inputs: 160, outputs: 1, permuted: coded),
        ])
        let accumulate = [false, true, false, true, true, false]
        let x = Noise.matrix(70, 163)
        for precision in Self.precisions {
            for rows in [1, 3, 4, 5, 16, 17, 32, 70] {
                try level.run(threads: rows % 3 + 1) { context in
                    let found = together.atOnce(
                        context, precision, rows: rows, x: x, accumulate: accumulate)
                    for (index, w) in together.weights.enumerated() {
                        let alone = Self.product(
                            context, w, precision, rows: rows, x: x,
                            accumulate: accumulate[index])
                        #expect(sameBits(found[index], alone), "product \(index), \(rows) rows")
                    }
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all, [WeightForm.f32, .bf16, .codes4, .nf4, .e4m3, .e2m1, .mixed])
    func `a gated pair has the bits of both products and the gated unit, or is left alone`(
        level: KernelLevel, form: WeightForm
    ) throws {
        for isShared in [true, false] {
            let gate = try TestWeight(form, inputs: 160, outputs: 170)
            let up = try TestWeight(
                isShared ? form : .codes6, inputs: 160, outputs: 170, scales: .f16)
            let pair = Together(weights: [gate, up])
            let x = Noise.matrix(515, 163)
            for precision in Self.precisions {
                for (index, rows) in [1, 2, 4, 5, 16, 33, 70, 515].enumerated() {
                    let kind = [EFT_SILU, EFT_GELU_TANH, EFT_GELU][index % 3]
                    try level.run(threads: rows % 3 + 1) { context in
                        let found = pair.gated(context, kind, precision, rows: rows, x: x)
                        let g = Self.product(context, gate, precision, rows: rows, x: x)
                        let u = Self.product(context, up, precision, rows: rows, x: x)
                        let untouched = [Float](repeating: 2, count: g.count)
                        var wanted = untouched
                        if found.isDone {
                            eft_activate(context, kind, rows, 170, g, 173, u, 173, &wanted, 173)
                        }
                        #expect(found.isDone == (isShared && level.isa != EFT_ISA_SCALAR))
                        #expect(
                            sameBits(found.values, wanted), "\(rows) rows, shared: \(isShared)")
                        let most = min(rows, Int(EFT_GATED_ROWS)) * 173
                        #expect(found.scratch[most...].allSatisfy { $0 == 2 })
                    }
                }
            }
        }
    }

    /// Rounds of at most 512 rows, the last one short.
    @Test func `more rows than a round holds go on behind it`() throws {
        let together = Together(weights: [
            try TestWeight(.codes4, inputs: 64, outputs: 40),
            try TestWeight(.codes4, inputs: 64, outputs: 24),
        ])
        let x = Noise.matrix(517, 67)
        let best = KernelLevel.all.last ?? .scalar
        try best.run(threads: 2) { context in
            for precision in Self.precisions {
                let found = together.atOnce(
                    context, precision, rows: 517, x: x, accumulate: [true, false])
                for (index, w) in together.weights.enumerated() {
                    let alone = Self.product(
                        context, w, precision, rows: 517, x: x, accumulate: index == 0)
                    #expect(sameBits(found[index], alone))
                }
            }
        }
    }
}
