// SPDX-License-Identifier: Apache-2.0
// Products with activations of 16 and 8 bits against the formula in f64 and against f32, at the ends of their range, and
// whatever the number of rows.
import CEftKernels
import Testing

/// Integers in which activations are held.
private enum IntegerForm: CaseIterable {
    case int16, int8

    var precision: eft_precision { self == .int16 ? EFT_PRECISION_INT16 : EFT_PRECISION_INT8 }
    /// The largest integer.
    var most: Float { self == .int16 ? 32767 : 127 }
    /// Most stored inputs that share a scale.
    var part: Int { 32 * Int(self == .int16 ? EFT_INT16_BLOCKS : EFT_INT8_BLOCKS) }
    /// The error of a product of uniform noise that is to be expected, over its root mean square: a step's over the
    /// square root of 12, over the numbers' that fill 2 most steps.
    var error: Double { 1 / (2 * Double(most)) }
}

struct MatmulIntegerTests {
    /// The product of activations that were quantized part by part, from the definition alone.
    private static func wanted(
        _ form: IntegerForm, _ w: TestWeight, rows: Int, x: [Float]
    ) -> [Double] {
        var result = [Double](repeating: 2, count: rows * (w.outputs + 3))
        let weight = w.weight
        for r in 0..<rows {
            var quantized = [Double](repeating: 0, count: w.inputs)
            for g in 0..<weight.group_count {
                let group = weight.groups[g]
                let begin = Int(group.first_block) * 32
                let end = begin + Int(group.blocks) * 32
                for first in stride(from: begin, to: end, by: form.part) {
                    let stored = first..<min(first + form.part, end)
                    let inputs = stored.map {
                        weight.permutation == nil ? $0 : Int(weight.permutation[$0])
                    }
                    .filter { $0 < w.inputs }
                    let values = inputs.map { x[r * (w.inputs + 3) + $0] }
                    let largest = values.map(abs).max() ?? 0
                    for (input, value) in zip(inputs, values) where largest > 0 {
                        let steps = (value * (form.most / largest)).rounded(.toNearestOrEven)
                        quantized[input] = Double(steps) / Double(form.most) * Double(largest)
                    }
                }
            }
            for n in 0..<w.outputs {
                var sum = 0.0
                for k in 0..<w.inputs {
                    let at = k * w.outputs + n
                    sum += quantized[k] * Double(w.codeValues[at]) * Double(w.scales[at])
                }
                result[r * (w.outputs + 3) + n] = sum
            }
        }
        return result
    }

    private static let product = Product(transposed: false)

    @Test(
        arguments: KernelLevel.all,
        [WeightForm.codes2, .codes3, .codes4, .codes5, .codes6] + WeightForm.blockScaled)
    func `the product is that of integers with a scale for each group`(
        level: KernelLevel, form: WeightForm
    ) throws {
        for permuted in [false, true] {
            let w = try TestWeight(
                form, inputs: 160, outputs: 33, scales: permuted ? .exl2 : .f16, permuted: permuted)
            let x = Noise.matrix(14, 163)
            for (rows, integers) in [1, 2, 4, 14].flatMap({ rows in
                IntegerForm.allCases.map { (rows, $0) }
            }) {
                let found = try level.run(threads: 2) {
                    Self.product($0, w, integers.precision, rows: rows, x: x)
                }
                #expect(distance(found, Self.wanted(integers, w, rows: rows, x: x)) < 3e-5)
            }
        }
    }

    @Test(arguments: KernelLevel.all, [WeightForm.codes4, .codes5, .mixed, .k2, .k4, .k6])
    func `each number of rows gives the scalar result to the bit`(
        level: KernelLevel, form: WeightForm
    ) throws {
        let w = try TestWeight(form, inputs: 288, outputs: 41, scales: .exl2, permuted: true)
        let x = Noise.matrix(70, 291)
        for integers in IntegerForm.allCases {
            let scalar = try KernelLevel.scalar.run(threads: 2) {
                Self.product($0, w, integers.precision, rows: 70, x: x)
            }
            for rows in 1...70 {
                let first = rows * 7 % (71 - rows)
                let found = try level.run(threads: rows % 3 + 1) {
                    Self.product($0, w, integers.precision, rows: rows, first: first, x: x)
                }
                #expect(sameBits(found, Array(scalar[first * 44..<(first + rows) * 44])))
            }
        }
    }

    @Test func `the error against f32 is that of rounding`() throws {
        let w = try TestWeight(.codes4, inputs: 1024, outputs: 64)
        let x = Noise.matrix(16, 1027)
        let best = KernelLevel.all.last ?? .scalar
        func run(_ precision: eft_precision) throws -> [Double] {
            try best.run { Self.product($0, w, precision, rows: 16, x: x) }.doubles
        }
        let exact = try run(EFT_PRECISION_F32)
        let square = exact.reduce(0) { $0 + $1 * $1 }
        for integers in IntegerForm.allCases {
            let found = try run(integers.precision)
            let error = zip(found, exact).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            let relative = (error / square).squareRoot()
            #expect(relative > 0.8 * integers.error && relative < 1.2 * integers.error)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `sums of the longest group with the largest numbers do not overflow`(level: KernelLevel)
        throws
    {
        // One group of 512 inputs at 8 bits, all codes 0 (-128) or all 255 (127), all activations alike.
        for code in [UInt8(0), 255] {
            for sign in [Float(1), -1] {
                let blocks = 16
                var group = eft_group(
                    first_block: 0, blocks: UInt32(blocks), bits: 8, row_offset: 0)
                let panels = Chunk(blocks * 512)
                panels.bytes.initializeMemory(as: UInt8.self, repeating: code, count: panels.count)
                let scales = [Float](repeating: 1, count: 16)
                let x = [Float](repeating: 3 * sign, count: 512 * 5)
                for (rows, precision) in [
                    (1, EFT_PRECISION_INT16), (5, EFT_PRECISION_INT16), (1, EFT_PRECISION_INT8),
                    (5, EFT_PRECISION_INT8),
                ] {
                    var y = [Float](repeating: 0, count: rows * 16)
                    try level.run { context in
                        withUnsafePointer(to: &group) { group in
                            scales.withUnsafeBytes { scales in
                                var w = eft_weight()
                                w.kind = EFT_WEIGHT_CODED
                                w.inputs = 512
                                w.outputs = 16
                                w.blocks = blocks
                                w.panels = UnsafeRawPointer(panels.bytes)
                                w.panel_bytes = blocks * 512
                                w.scale_type = EFT_SCALES_F32
                                w.scales = scales.baseAddress
                                w.groups = group
                                w.group_count = 1
                                let space = Chunk(
                                    eft_matmul_workspace(context, &w, precision, rows))
                                eft_matmul(
                                    context, &w, precision, rows, x, 512, &y, 16, false,
                                    space.bytes)
                            }
                        }
                    }
                    let expected = 3 * Double(sign) * 512 * (Double(code) - 128)
                    #expect(y.allSatisfy { abs(Double($0) / expected - 1) < 1e-6 })
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `zeros give zero, what is not finite gives NaN, and other rows keep their bits`(
        level: KernelLevel
    ) throws {
        let w = try TestWeight(.mixed, inputs: 160, outputs: 17)
        let plain = Noise.matrix(6, 163)
        for integers in IntegerForm.allCases {
            let before = try level.run(threads: 2) {
                Self.product($0, w, integers.precision, rows: 6, x: plain)
            }
            for (value, isNaN) in [
                (Float.nan, true), (.infinity, true), (0, false), (1e-38, false),
            ] {
                var x = plain
                for k in 0..<163 { x[2 * 163 + k] = value }
                let after = try level.run(threads: 2) {
                    Self.product($0, w, integers.precision, rows: 6, x: x)
                }
                for r in 0..<6 {
                    let row = after[r * 20..<r * 20 + 17]
                    if r != 2 {
                        #expect(row == before[r * 20..<r * 20 + 17])
                    } else {
                        #expect(row.allSatisfy { isNaN ? $0.isNaN : $0 == 0 })
                    }
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `magnitudes from 2^-90 to 2^110 keep the relative error`(level: KernelLevel) throws {
        let w = try TestWeight(.codes4, inputs: 64, outputs: 16)
        let plain = Noise.matrix(1, 67)
        for integers in IntegerForm.allCases {
            let reference = try level.run {
                Self.product($0, w, integers.precision, rows: 1, x: plain)
            }
            for power in [-90, -30, 60, 110] {
                let factor = Float(sign: .plus, exponent: power, significand: 1)
                let found = try level.run {
                    Self.product(
                        $0, w, integers.precision, rows: 1, x: plain.map { $0 * factor })
                }
                // Powers of two scale exactly.
                #expect((0..<16).allSatisfy { found[$0] == reference[$0] * factor })
            }
        }
    }
}
