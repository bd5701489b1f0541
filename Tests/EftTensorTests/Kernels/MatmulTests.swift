// SPDX-License-Identifier: Apache-2.0
// Products with packed weights: the scalar version against f64, every level against the scalar one, bit for bit
// whatever the number of rows and threads.
import CEftKernels
import Testing

struct MatmulTests {
    private static let precisions = [
        EFT_PRECISION_BF16, EFT_PRECISION_F32, EFT_PRECISION_INT16, EFT_PRECISION_INT8,
    ]

    private static func isInteger(_ precision: eft_precision) -> Bool {
        precision == EFT_PRECISION_INT16 || precision == EFT_PRECISION_INT8
    }

    /// The product in f64 of the numbers that the precision leaves.
    private static func wanted(
        _ product: Product, _ w: TestWeight, rounded: Bool, rows: Int, x: [Float]
    ) -> [Double] {
        let (from, to) = product.columns(of: w)
        func round(_ x: Float) -> Float { rounded ? bf16(x) : x }
        var result = [Double](repeating: 2, count: rows * (to + 3))
        for r in 0..<rows {
            for j in 0..<to {
                var sum = 0.0
                for i in 0..<from {
                    let at = product.transposed ? j * w.outputs + i : i * w.outputs + j
                    let value =
                        product.transposed
                        ? Double(round(w.codeValues[at] * w.scales[at]))
                        : Double(round(w.codeValues[at])) * Double(w.scales[at])
                    sum += Double(round(x[r * (from + 3) + i])) * value
                }
                result[r * (to + 3) + j] = sum
            }
        }
        return result
    }

    @Test(arguments: WeightForm.allCases, Product.both)
    func `the scalar product is that of the numbers the weight stands for`(
        form: WeightForm, product: Product
    ) throws {
        for (inputs, outputs, permuted) in [(32, 17, false), (form.isDense ? 100 : 160, 33, true)] {
            let w = try TestWeight(
                form, inputs: inputs, outputs: outputs, scales: permuted ? .exl2 : .f16,
                permuted: permuted && !form.isDense)
            let x = Noise.matrix(3, product.columns(of: w).from + 3)
            for precision in Self.precisions {
                let rounded =
                    precision == EFT_PRECISION_BF16 && form != .f32 && form != .f16
                let found = try KernelLevel.scalar.run { product($0, w, precision, rows: 3, x: x) }
                let expected = Self.wanted(product, w, rounded: rounded, rows: 3, x: x)
                // Integers are off by half a step of their group's largest number.
                let isCoded =
                    Self.isInteger(precision) && !form.isDense && form != .nf4 && form != .fp4
                    && form != .e4m3
                // The scales of blocks have both signs, and terms cancel.
                let factor = form.blockScales == nil ? 1.0 : 4
                let limit = factor * (precision == EFT_PRECISION_INT8 ? 0.25 : 1e-3)
                #expect(distance(found, expected) < (isCoded && !product.transposed ? limit : 1e-5))
            }
        }
    }

    @Test(arguments: KernelLevel.all, WeightForm.allCases)
    func `every level and cut of the rows gives the scalar result`(
        level: KernelLevel, form: WeightForm
    ) throws {
        for inputs in form.isDense ? [1, 100, 160] : [32, 96, 160] {
            for outputs in [1, 15, 16, 17, 48, 100] {
                let w = try TestWeight(
                    form, inputs: inputs, outputs: outputs, scales: TestScales(turn: inputs / 32),
                    permuted: inputs == 160 && !form.isDense)
                try compare(level, w, rows: 32, cuts: [1, 2, 3, 4, 5, 6, 7, 13])
            }
        }
        // Several folds of the inputs, and groups longer than a chunk.
        let deep = try TestWeight(form, inputs: 1056, outputs: 20, permuted: !form.isDense)
        try compare(level, deep, rows: 26, cuts: [1, 4, 12, 25])
    }

    @Test(arguments: KernelLevel.all, [WeightForm.f32, .bf16, .codes4, .nf4, .e4m3, .e2m1])
    func `more rows than one round, more outputs than one fold`(
        level: KernelLevel, form: WeightForm
    ) throws {
        let w = try TestWeight(form, inputs: 64, outputs: 530)
        try compare(level, w, rows: 515, cuts: [1, 64, 514])
    }

    /// Compares one level with the scalar one on all rows, and cuts of the rows with all rows, bit for bit.
    private func compare(_ level: KernelLevel, _ w: TestWeight, rows: Int, cuts: [Int]) throws {
        for product in Product.both {
            let (from, to) = product.columns(of: w)
            let x = Noise.matrix(rows, from + 3)
            for precision in Self.precisions {
                let scalar = try KernelLevel.scalar.run(threads: 2) {
                    product($0, w, precision, rows: rows, x: x)
                }
                let all = try level.run(threads: 3) { product($0, w, precision, rows: rows, x: x) }
                let size = max(scalar.lazy.map { abs($0) }.max() ?? 1, 1e-3)
                #expect(distance(all, scalar.doubles, floor: Double(size)) < 3e-5)
                if Self.isInteger(precision), w.isExactInIntegers, !product.transposed {
                    #expect(sameBits(all, scalar))
                }
                for (i, cut) in cuts.enumerated() {
                    let first = (i * 7) % (rows - cut + 1), accumulate = i % 2 == 1
                    let part = try level.run(threads: i % 3 + 1) {
                        product(
                            $0, w, precision, rows: cut, first: first, x: x, accumulate: accumulate)
                    }
                    let same = part.indices.allSatisfy { at in
                        let whole = all[first * (to + 3) + at]
                        return part[at] == (accumulate && at % (to + 3) < to ? 2 + whole : whole)
                    }
                    #expect(same, "\(product) \(w.inputs) x \(w.outputs), \(cut) rows")
                }
            }
        }
    }

    @Test(arguments: WeightForm.allCases)
    func `gathers the rows of an embedding`(form: WeightForm) throws {
        let inputs = form.isDense ? 100 : 160
        let w = try TestWeight(form, inputs: inputs, outputs: 50, permuted: !form.isDense)
        let rows: [Int32] = [49, 0, 17, 17, 31]
        var out = [Float](repeating: 7, count: rows.count * (inputs + 1))
        var weight = w.weight
        try KernelLevel.scalar.run(threads: 2) {
            eft_weight_rows($0, &weight, rows, rows.count, &out, inputs + 1)
        }
        for (i, row) in rows.enumerated() {
            for k in 0..<inputs {
                let at = k * 50 + Int(row)
                #expect(out[i * (inputs + 1) + k] == w.codeValues[at] * w.scales[at])
            }
            #expect(out[i * (inputs + 1) + inputs] == 7)
        }
    }

    @Test(arguments: WeightForm.allCases, [1, 16, 50])
    func `squares of the rows of a weight`(form: WeightForm, outputs: Int) throws {
        let inputs = form.isDense ? 100 : 160
        let w = try TestWeight(form, inputs: inputs, outputs: outputs, permuted: !form.isDense)
        var squares = [Float](repeating: 7, count: outputs + 1)
        var weight = w.weight
        try KernelLevel.scalar.run(threads: 2) { eft_weight_squares($0, &weight, &squares) }
        for output in 0..<outputs {
            let wanted = (0..<inputs).reduce(0.0) {
                let at = $1 * outputs + output
                let value = Double(w.codeValues[at] * w.scales[at])
                return $0 + value * value
            }
            #expect(abs(Double(squares[output]) - wanted) <= 1e-6 * wanted)
        }
        #expect(squares[outputs] == 7)
    }

    @Test(arguments: KernelLevel.all)
    func `a workspace for many rows is enough for fewer`(level: KernelLevel) throws {
        let w = try TestWeight(.mixed, inputs: 1056, outputs: 100)
        var weight = w.weight
        for threads in [1, 2, 5] {
            try level.run(threads: threads) { context in
                for question in [eft_matmul_workspace, eft_matmul_transposed_workspace] {
                    var least = 0
                    for rows in 1...600 {
                        let bytes = question(context, &weight, EFT_PRECISION_F32, rows)
                        #expect(bytes >= least)
                        least = bytes
                    }
                }
            }
        }
    }
}

extension Noise {
    /// Reproducible numbers of a row-major matrix.
    static func matrix(_ rows: Int, _ columns: Int) -> [Float] {
        var noise = Noise(rows &* 31 &+ columns)
        return noise.numbers(rows * columns)
    }
}
