// SPDX-License-Identifier: Apache-2.0
// A packed weight beside the plain matrix that it stands for.
import CEftKernels
import Testing

/// What a test weight is made of.
enum WeightForm: Sendable, CaseIterable, CustomTestStringConvertible {
    case f32, f16, bf16, codes2, codes3, codes4, codes5, codes6, codes8, nf4, fp4, e4m3, e2m1, mixed
    /// Blocks with scales of their own, by the widths of GGUF's K types; and of those with two halves a block.
    case k2, k3, k4, k5, k6, offset4, offset5

    var testDescription: String { "\(self)" }
    var isDense: Bool { self == .f32 || self == .f16 || self == .bf16 }

    /// Widths of the groups, used in turn, and their blocks; the last group is cut short.
    var groups: [(bits: UInt32, blocks: UInt32)] {
        switch self {
        case .f32, .f16, .bf16: []
        case .codes2: [(2, 2)]
        case .codes3: [(3, 2)]
        case .codes4: [(4, 2)]
        case .codes5: [(5, 1)]
        case .codes6: [(6, 3)]
        case .codes8: [(8, 20)]
        case .nf4, .fp4: [(4, 2)]
        case .e4m3: [(8, 4)]
        case .e2m1: [(4, 1)]
        case .mixed: [(8, 1), (6, 2), (5, 1), (4, 3), (3, 17), (2, 2)]
        case .k2: [(2, 1)]
        case .k3: [(3, 1)]
        case .k4, .offset4: [(4, 1)]
        case .k5, .offset5: [(5, 1)]
        case .k6: [(6, 1)]
        }
    }

    /// How the scales of blocks are held; nil where groups have scales.
    var blockScales: eft_scale_type? {
        switch self {
        case .k2: EFT_SCALES_K_OFFSET_HALVES
        case .k3, .k6: EFT_SCALES_K_HALVES
        case .k4, .k5: EFT_SCALES_K_OFFSET
        case .offset4, .offset5: EFT_SCALES_OFFSET
        default: nil
        }
    }

    static let blockScaled: [WeightForm] = allCases.filter { $0.blockScales != nil }
}

/// How the scales of a test weight are held.
enum TestScales: CaseIterable, Sendable {
    case f32, f16, exl2, e8m0

    /// A form for a case that is one of many.
    init(turn: Int) { self = Self.allCases[turn % 3] }

    var type: eft_scale_type {
        switch self {
        case .f32: EFT_SCALES_F32
        case .f16: EFT_SCALES_F16
        case .exl2: EFT_SCALES_EXL2
        case .e8m0: EFT_SCALES_E8M0
        }
    }
}

/// Memory of 64-byte alignment that is freed with its owner.
final class Chunk {
    let bytes: UnsafeMutableRawPointer
    let count: Int

    init(_ count: Int) {
        self.count = max(count, 64)
        bytes = .allocate(byteCount: self.count, alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0xff, count: self.count)
    }
    deinit { bytes.deallocate() }
}

/// A packed weight, and `values[input][output]` that it stands for, in the order of inputs.
final class TestWeight {
    private(set) var weight = eft_weight()
    let inputs: Int, outputs: Int
    /// Code values (or dense values, or those of blocks with scales of their own), and the scale of each, [input][output].
    private(set) var codeValues: [Float] = []
    private(set) var scales: [Float] = []
    private var storage: [Chunk] = []

    init(
        _ form: WeightForm, inputs: Int, outputs: Int, scales scaleForm: TestScales = .f32,
        permuted: Bool = false
    ) throws {
        self.inputs = inputs
        self.outputs = outputs
        var noise = Noise(inputs * 1000 + outputs)
        weight.inputs = inputs
        weight.outputs = outputs
        weight.blocks = (inputs + 31) / 32
        scales = Array(repeating: 1, count: inputs * outputs)
        codeValues = Array(repeating: 0, count: inputs * outputs)
        var order = (0..<weight.blocks * 32).map { $0 < inputs ? UInt32($0) : .max }
        if permuted {
            // The same one for all weights of so many inputs.
            var turns = Noise(inputs)
            for i in order.indices.dropFirst() {
                order.swapAt(i, Int(turns.bits() % UInt64(i + 1)))
            }
            let memory = keep(order.count * 4, of: UInt32.self)
            memory.update(from: order, count: order.count)
            weight.permutation = UnsafePointer(memory)
        }
        if form.isDense {
            try fillDense(form, &noise)
        } else if let scales = form.blockScales {
            fillBlocks(form, scales, &noise, order)
        } else {
            fillCoded(form, &noise, order, form == .e2m1 ? .e8m0 : scaleForm)
        }
    }

    /// Whether the product with 16-bit activations runs in integers.
    var isExactInIntegers: Bool {
        weight.kind == EFT_WEIGHT_CODED
            && (weight.code_book == EFT_CODES_SIGNED || weight.code_book == EFT_CODES_E2M1)
            && (0..<weight.group_count).allSatisfy { weight.groups[$0].blocks <= EFT_INT16_BLOCKS }
    }

    private func keep<T>(_ bytes: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
        let chunk = Chunk(bytes)
        storage.append(chunk)
        return chunk.bytes.bindMemory(to: type, capacity: chunk.count / MemoryLayout<T>.stride)
    }

    private func fillDense(_ form: WeightForm, _ noise: inout Noise) throws {
        weight.kind =
            form == .f32 ? EFT_WEIGHT_F32 : form == .f16 ? EFT_WEIGHT_F16 : EFT_WEIGHT_BF16
        weight.panel_bytes = weight.blocks * (form == .f32 ? 2048 : 1024)
        let panels = keep((outputs + 15) / 16 * weight.panel_bytes, of: UInt8.self)
        weight.panels = UnsafeRawPointer(panels)
        // Few significant bits, so that f16 and bf16 hold them exactly.
        let source = (0..<inputs * outputs).map { _ in Float(Int(noise.bits() % 255) - 127) / 64 }
        try KernelLevel.scalar.run {
            eft_dense_pack($0, &weight, panels, source, EFT_F32, 0, outputs)
        }
        for k in 0..<inputs {
            for n in 0..<outputs { codeValues[k * outputs + n] = source[n * inputs + k] }
        }
    }

    private func fillCoded(
        _ form: WeightForm, _ noise: inout Noise, _ order: [UInt32], _ scaleForm: TestScales
    ) {
        weight.kind = EFT_WEIGHT_CODED
        weight.code_book =
            switch form {
            case .nf4: EFT_CODES_NF4
            case .fp4: EFT_CODES_FP4
            case .e4m3: EFT_CODES_E4M3
            case .e2m1: EFT_CODES_E2M1
            default: EFT_CODES_SIGNED
            }
        weight.scale_type = scaleForm.type
        var groups: [eft_group] = []
        var block: UInt32 = 0, row: UInt32 = 0
        while block < UInt32(weight.blocks) {
            let shape = form.groups[groups.count % form.groups.count]
            let blocks = min(shape.blocks, UInt32(weight.blocks) - block)
            groups.append(
                eft_group(first_block: block, blocks: blocks, bits: shape.bits, row_offset: row))
            block += blocks
            row += blocks * shape.bits
        }
        let table = keep(groups.count * 16, of: eft_group.self)
        table.update(from: groups, count: groups.count)
        weight.groups = UnsafePointer(table)
        weight.group_count = groups.count
        weight.panel_bytes = Int(row) * 64
        let panelCount = (outputs + 15) / 16
        let panels = keep(panelCount * weight.panel_bytes, of: UInt32.self)
        weight.panels = UnsafeRawPointer(panels)
        let wide = keep(panelCount * groups.count * 64, of: Float.self)
        let half = keep(panelCount * groups.count * 32, of: Float16.self)
        let codes = keep(panelCount * groups.count * 10, of: UInt8.self)
        let exponents = keep(panelCount * groups.count * 16, of: UInt8.self)
        weight.scales =
            switch scaleForm {
            case .f32: UnsafeRawPointer(wide)
            case .f16: UnsafeRawPointer(half)
            case .exl2: UnsafeRawPointer(codes)
            case .e8m0: UnsafeRawPointer(exponents)
            }
        for panel in 0..<panelCount {
            for (g, group) in groups.enumerated() {
                let at = (panel * groups.count + g) * 16
                let step = Float16(0.0002 + 0.0001 * noise.number())
                var words: [UInt32] = [0, 0]
                for lane in 0..<16 {
                    let code = noise.bits() % 16
                    // The product of two halves is exact in f32; one rounding gives the half product.
                    half[at + lane] =
                        scaleForm == .exl2
                        ? Float16(Float((code + 1) * (code + 1)) * Float(step))
                        : Float16(0.02 + 0.01 * noise.number())
                    wide[at + lane] = Float(half[at + lane])
                    exponents[at + lane] = UInt8(118 + noise.bits() % 8)
                    if scaleForm == .e8m0 {
                        wide[at + lane] = Float(
                            sign: .plus, exponent: Int(exponents[at + lane]) - 128, significand: 1)
                    }
                    words[lane % 2] |= UInt32(code) << UInt32(4 * (lane / 2))
                }
                let record = UnsafeMutableRawPointer(codes + at / 16 * 10)
                record.copyMemory(from: words, byteCount: 8)
                record.storeBytes(of: step.bitPattern, toByteOffset: 8, as: UInt16.self)
                for b in 0..<Int(group.blocks) {
                    let block = (0..<512).map { _ in
                        let code = UInt8(noise.bits() % (1 << UInt64(group.bits)))
                        // Two codes of E4M3 are NaN.
                        return form == .e4m3 && code & 0x7F == 0x7F ? code ^ 1 : code
                    }
                    let rows = Int(group.row_offset) + b * Int(group.bits)
                    eft_codes_pack(
                        group.bits, block, panels + panel * weight.panel_bytes / 4 + rows * 16)
                    note(block, group, block: Int(group.first_block) + b, panel, wide + at, order)
                }
            }
        }
    }

    /// Groups of single blocks, and their table.
    private func makeBlocks(_ bits: Int) {
        weight.kind = EFT_WEIGHT_CODED
        weight.code_book = EFT_CODES_SIGNED
        let table = keep(weight.blocks * 16, of: eft_group.self)
        for block in 0..<weight.blocks {
            table[block] = eft_group(
                first_block: UInt32(block), blocks: 1, bits: UInt32(bits),
                row_offset: UInt32(block * bits))
        }
        weight.groups = UnsafePointer(table)
        weight.group_count = weight.blocks
        weight.panel_bytes = weight.blocks * bits * 64
    }

    private func fillBlocks(
        _ form: WeightForm, _ scales: eft_scale_type, _ noise: inout Noise, _ order: [UInt32]
    ) {
        let bits = Int(form.groups[0].bits)
        makeBlocks(bits)
        weight.scale_type = scales
        let isK = scales != EFT_SCALES_OFFSET
        let recordBytes = !isK ? 64 : scales == EFT_SCALES_K_HALVES ? 288 : 320
        let (perRecord, panelCount) = (isK ? 8 : 1, (outputs + 15) / 16)
        let records = (weight.blocks + perRecord - 1) / perRecord
        let panels = keep(panelCount * weight.panel_bytes, of: UInt32.self)
        let memory = keep(panelCount * records * recordBytes, of: UInt8.self)
        weight.panels = UnsafeRawPointer(panels)
        weight.scales = UnsafeRawPointer(memory)
        for panel in 0..<panelCount {
            for record in 0..<records {
                let bytes = UnsafeMutableRawPointer(
                    memory + (panel * records + record) * recordBytes)
                for byte in 0..<recordBytes {
                    bytes.storeBytes(
                        of: UInt8(noise.bits() % 256), toByteOffset: byte, as: UInt8.self)
                }
                for half in 0..<(scales == EFT_SCALES_K_HALVES ? 16 : 32) {
                    bytes.storeBytes(
                        of: Float16(0.01 * noise.number()).bitPattern, toByteOffset: half * 2,
                        as: UInt16.self)
                }
                for block in record * perRecord..<min((record + 1) * perRecord, weight.blocks) {
                    let codes = (0..<512).map { _ in UInt8(noise.bits() % (1 << UInt64(bits))) }
                    eft_codes_pack(
                        UInt32(bits), codes,
                        panels + panel * weight.panel_bytes / 4 + block * bits * 16)
                    note(codes, bits, scales, bytes, block: block, panel, order)
                }
            }
        }
    }

    /// Records what the codes of a block with scales of its own stand for.
    private func note(
        _ codes: [UInt8], _ bits: Int, _ scales: eft_scale_type, _ record: UnsafeRawPointer,
        block: Int, _ panel: Int, _ order: [UInt32]
    ) {
        func half(_ index: Int) -> Float {
            Float(Float16(bitPattern: record.load(fromByteOffset: index * 2, as: UInt16.self)))
        }
        func byte(_ index: Int) -> UInt8 { record.load(fromByteOffset: index, as: UInt8.self) }
        for k in 0..<32 {
            let input = order[block * 32 + k]
            for lane in 0..<16 where input < inputs && panel * 16 + lane < outputs {
                let code = Float(codes[k * 16 + lane])
                let (eighth, sixteenth) = (block % 8, block % 8 * 2 + k / 16)
                let value: Float
                switch scales {
                case EFT_SCALES_OFFSET: value = half(lane) * code + half(16 + lane)
                case EFT_SCALES_K_OFFSET:
                    value =
                        half(lane) * Float(byte(64 + eighth * 16 + lane)) * code
                        - half(16 + lane) * Float(byte(192 + eighth * 16 + lane))
                case EFT_SCALES_K_HALVES:
                    let scale = Int8(bitPattern: byte(32 + sixteenth * 16 + lane))
                    value = half(lane) * Float(scale) * (code - Float(1 << (bits - 1)))
                default:
                    let both = byte(64 + sixteenth * 16 + lane)
                    value =
                        half(lane) * Float(both & 15) * code - half(16 + lane) * Float(both >> 4)
                }
                codeValues[Int(input) * outputs + panel * 16 + lane] = value
            }
        }
    }

    /// Records what the codes of a block stand for.
    private func note(
        _ codes: [UInt8], _ group: eft_group, block: Int, _ panel: Int,
        _ laneScales: UnsafePointer<Float>, _ order: [UInt32]
    ) {
        let nf4 = withUnsafeBytes(of: eft_nf4_values) { Array($0.bindMemory(to: Float.self)) }
        func value(_ code: UInt8) -> Float {
            if weight.code_book == EFT_CODES_E4M3 { return e4m3(code) }
            if weight.code_book == EFT_CODES_E2M1 { return 2 * e2m1(code) }
            if weight.code_book == EFT_CODES_FP4 { return fp4(code) }
            return weight.code_book == EFT_CODES_NF4
                ? nf4[Int(code)] : Float(Int(code) - (1 << (Int(group.bits) - 1)))
        }
        for k in 0..<32 {
            let input = order[block * 32 + k]
            for lane in 0..<16 where input < inputs && panel * 16 + lane < outputs {
                let code = codes[k * 16 + lane]
                let at = Int(input) * outputs + panel * 16 + lane
                codeValues[at] = value(code)
                scales[at] = laneScales[lane]
            }
        }
    }
}

/// An 8-bit floating point number: a sign, four bits of exponent, three of mantissa.
func e4m3(_ code: UInt8) -> Float {
    let (exponent, mantissa) = (Int(code >> 3 & 15), Float(code & 7) / 8)
    let size =
        exponent == 0
        ? Float(sign: .plus, exponent: -6, significand: mantissa)
        : Float(sign: .plus, exponent: exponent - 7, significand: 1 + mantissa)
    return code & 0x80 == 0 ? size : -size
}

/// A number of bitsandbytes' FP4.
func fp4(_ code: UInt8) -> Float {
    let size: Float = [0, 0.0625, 8, 12, 4, 6, 2, 3][Int(code & 7)] / 12
    return code & 8 == 0 ? size : -size
}

/// A 4-bit floating point number: a sign, two bits of exponent, one of mantissa.
func e2m1(_ code: UInt8) -> Float {
    let size: Float = [0, 0.5, 1, 1.5, 2, 3, 4, 6][Int(code & 7)]
    return code & 8 == 0 ? size : -size
}

/// Nearest bf16 number, ties to even.
func bf16(_ x: Float) -> Float {
    let bits = x.bitPattern
    return Float(bitPattern: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) & 0xffff_0000)
}

/// One of the two products, with the workspace that it asks for and not a byte more.
struct Product: Sendable, CustomTestStringConvertible {
    let transposed: Bool
    var testDescription: String { transposed ? "dx = dy W'" : "y = x W" }
    static let both = [Product(transposed: false), Product(transposed: true)]

    /// Columns of the operand and of the result.
    func columns(of w: TestWeight) -> (from: Int, to: Int) {
        transposed ? (w.outputs, w.inputs) : (w.inputs, w.outputs)
    }

    /// Runs on `rows` rows of `x` from row `first`; strides exceed the columns by 3. What the result held is 2.
    func callAsFunction(
        _ context: OpaquePointer, _ w: TestWeight, _ precision: eft_precision, rows: Int,
        first: Int = 0, x: [Float], accumulate: Bool = false
    ) -> [Float] {
        let (from, to) = columns(of: w)
        var weight = w.weight
        var y = [Float](repeating: 2, count: rows * (to + 3))
        let bytes =
            transposed
            ? eft_matmul_transposed_workspace(context, &weight, precision, rows)
            : eft_matmul_workspace(context, &weight, precision, rows)
        let workspace = Chunk(bytes + 64)
        x.withUnsafeBufferPointer { x in
            guard let x = x.baseAddress else { return }
            let run = transposed ? eft_matmul_transposed : eft_matmul
            run(
                context, &weight, precision, rows, x + first * (from + 3), from + 3, &y, to + 3,
                accumulate, workspace.bytes)
        }
        let guardBytes = UnsafeRawBufferPointer(start: workspace.bytes + bytes, count: 64)
        #expect(guardBytes.allSatisfy { $0 == 0xff }, "wrote beyond its workspace")
        return y
    }
}
