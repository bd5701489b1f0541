// SPDX-License-Identifier: Apache-2.0
// HQQ weights: `<module>.W_q`, `.scale`, `.zero`, as the package hqq and transformers save them.
import CEftKernels
import EftFormats
import EftTensor

/// A weight that HQQ (Badri and Shaji, "Half-Quadratic Quantization", 2023) quantized to 8, 4, 3, 2 or 1 bits.
///
/// The weight [N, K] is seen as a matrix of rows that are groups (`axis` 1: `scale` and `zero` [rows, 1]) or of columns that are
/// groups (`axis` 0: [1, columns]). `W_q` holds several rows in one, the first ones in the highest bits: 8 / bits of them in
/// U8, ten of 3 bits in I32, with rows of nothing at the end. A number is (code - zero) x scale, either step rounded to the type
/// of the scales. In memory weights are such numbers, not codes.
package struct HQQScheme: QuantScheme {
    package static let name = "HQQ"

    private let module: LinearModule
    private let codes: TensorInfo
    private let scales: TensorInfo
    private let zeros: TensorInfo
    private let bits: Int
    /// Columns of the matrix of groups, and rows of `W_q`.
    private let columns: Int
    private let packedRows: Int
    /// Whether groups are rows of the matrix.
    private let groupsAreRows: Bool
    /// What the package says beside, which follows from the tensors.
    private let remarks: [TensorInfo]

    private static let remarkNames = [
        "nbits", "group_size", "shape", "axis", "packing", "unpack_view_dtype", "view_as_float",
        "quant_scale", "quant_zero", "compute_dtype", "offload_meta", "encoded_state_dict",
        "stores_quant_config", "channel_wise", "optimize", "round_zero",
    ]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.find(module + ".W_q") != nil
    }

    package init(_ module: LinearModule) throws {
        let codes = try module.checkpoint.tensor(module.name + ".W_q")
        let count = module.inputs * module.outputs
        let dims = codes.shape.dims
        guard dims.count == 2, dims[0] > 0, dims[1] > 0, count % dims[1] == 0 else {
            throw module.error(
                .damaged, "W_q",
                "has shape \(dims), which does not part \(module.outputs) outputs of \(module.inputs) inputs"
            )
        }
        let rows = count / dims[1]
        switch codes.dtype {
        case .i32 where (rows + 9) / 10 == dims[0]: bits = 3
        case .u8 where rows % dims[0] == 0 && [1, 2, 4, 8].contains(rows / dims[0]):
            bits = 8 / (rows / dims[0])
        default:
            throw module.error(
                .unsupported, "W_q",
                "holds \(codes.dtype.rawValue) of shape \(dims), which are no codes of 8, 4, 3, 2 or 1 bits for "
                    + "\(module.outputs) outputs of \(module.inputs) inputs")
        }
        let scaleDims = try module.checkpoint.tensor(module.name + ".scale").shape.dims
        groupsAreRows = scaleDims != [1, dims[1]]
        let expected = groupsAreRows ? [rows, 1] : [1, dims[1]]
        scales = try module.realTensor("scale", expected)
        zeros = try module.realTensor("zero", expected)
        guard [.f32, .f16, .bf16].contains(scales.dtype) else {
            throw module.error(
                .unsupported, "scale", "is of the type \(scales.dtype.rawValue), which is not read")
        }
        (columns, packedRows) = (dims[1], dims[0])
        self.module = module
        self.codes = codes
        remarks = HQQScheme.remarkNames.compactMap {
            module.checkpoint.find("\(module.name).\($0)")
        }
    }

    package var storedTensors: [TensorInfo] { [codes, scales, zeros] + remarks }
    package var tensorsInOrder: [TensorInfo] { [] }
    package var valueType: DType { scales.dtype }

    // MARK: Load

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        try module.requireAsStored(target, scheme: HQQScheme.name)
        let format: WeightLayout.Format =
            switch valueType {
            case .f16: .f16
            case .bf16: .bf16
            default: .f32
            }
        return WeightLayout(format, inputs: module.inputs, outputs: module.outputs)
    }

    /// Outputs that become numbers at a time.
    private var step: Int {
        RowChunks.length(rows: module.outputs, rowBytes: module.inputs * 4, unit: Int(EFT_PANEL))
    }

    package func scratchBytes(as target: WeightTarget) throws -> Int {
        _ = try layout(as: target)
        // The numbers, and of as many of them at most a code, a scale and a zero point.
        return min(step, module.outputs) * module.inputs * 4 * 4
    }

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), permutation: [], ledger: backend.ledger, purpose: purpose,
            workers: backend)
        let floats = try Buffer(
            byteCount: min(step, module.outputs) * module.inputs * 4, ledger: backend.ledger,
            purpose: .workspace)
        for rows in RowChunks.ranges(rows: module.outputs, length: step) {
            try dequantize(
                outputs: rows,
                into: UnsafeMutableBufferPointer(
                    start: floats.floats, count: rows.count * module.inputs))
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, floats.floats, EFT_F32,
                    rows.lowerBound, rows.count)
            }
        }
        for tensor in [codes, scales, zeros] { module.checkpoint.releasePages(of: tensor.name) }
        return weight
    }

    // MARK: Values

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        let first = outputs.lowerBound * module.inputs
        var done = 0
        while done < target.count {
            let (row, column) = ((first + done) / columns, (first + done) % columns)
            let part = row / packedRows
            // Numbers that stand side by side in W_q, in one row where a row has several groups.
            let place = (row - part * packedRows) * columns + column
            var run = min(target.count - done, packedRows * columns - place)
            if !groupsAreRows { run = min(run, columns - column) }
            try fill(
                UnsafeMutableBufferPointer(rebasing: target[done..<done + run]), part: part,
                codes: place..<place + run, row: row, column: column)
            done += run
        }
    }

    /// Makes numbers of codes that stand side by side.
    private func fill(
        _ target: UnsafeMutableBufferPointer<Float>, part: Int, codes range: Range<Int>, row: Int,
        column: Int
    ) throws {
        let groups =
            groupsAreRows
            ? row..<row + (column + target.count + columns - 1) / columns
            : column..<column + target.count
        let scale = try floats(scales, groups)
        let zero = try floats(zeros, groups)
        let shift: UInt32 = UInt32(bits == 3 ? 27 - 3 * part : 8 - bits * (part + 1))
        let mask = UInt32(1) << UInt32(bits) - 1
        let width = bits == 3 ? 4 : 1
        var bytes = [UInt8](repeating: 0, count: range.count * width)
        try bytes.withUnsafeMutableBytes {
            try module.checkpoint.read(
                codes.name, bytes: range.lowerBound * width..<range.upperBound * width, into: $0)
        }
        bytes.withUnsafeBytes { bytes in
            for index in target.indices {
                let word =
                    width == 4
                    ? UInt32(
                        littleEndian: bytes.loadUnaligned(
                            fromByteOffset: index * 4, as: UInt32.self)) : UInt32(bytes[index])
                let group = groupsAreRows ? (column + index) / columns : index
                let code = Float(word >> shift & mask)
                target[index] = rounded(rounded(code - zero[group]) * scale[group])
            }
        }
    }

    /// A number of the scales' type.
    private func rounded(_ value: Float) -> Float {
        switch valueType {
        case .f16: ElementConversion.float(half: ElementConversion.half(value))
        case .bf16: ElementConversion.float(bfloat16: ElementConversion.bfloat16(value))
        default: value
        }
    }

    private func floats(_ info: TensorInfo, _ range: Range<Int>) throws -> [Float] {
        var values = [Float](repeating: 0, count: range.count)
        try values.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
            try module.checkpoint.readFloats(info.name, elements: range, into: buffer)
        }
        guard values.allSatisfy(\.isFinite) else {
            throw FormatError(
                .damaged, "holds infinite or NaN numbers", path: module.checkpoint.path,
                tensor: info.name)
        }
        return values
    }
}
