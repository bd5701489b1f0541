// SPDX-License-Identifier: Apache-2.0
// A quantized matrix as the tensors of a bitsandbytes checkpoint.
import EftFormats
import EftTensor

/// A tensor that is ready to be written: its description, and its bytes.
package struct EncodedTensor: Sendable {
    /// Name, type and extents.
    package let info: TensorInfo
    /// The bytes, row-major.
    package let bytes: Buffer

    /// Pairs a description with bytes of the same size.
    package init(_ info: TensorInfo, _ bytes: Buffer) {
        precondition(info.byteCount == bytes.byteCount, "size of \(info.name)")
        self.info = info
        self.bytes = bytes
    }

    /// Copies an array of plain values.
    init<T: BitwiseCopyable>(
        _ name: String, _ dtype: DType, _ shape: Shape, copying values: [T],
        ledger: MemoryLedger?
    ) throws {
        let info = try TensorInfo(name: name, dtype: dtype, shape: shape)
        let buffer = try Buffer(
            byteCount: info.byteCount, ledger: ledger, purpose: .workspace)
        values.withUnsafeBytes { buffer.bytes.copyMemory(from: $0) }
        self.init(info, buffer)
    }
}

/// Writes NF4 weights as bitsandbytes does.
///
/// | tensor | type, shape |
/// |---|---|
/// | `<m>.weight` | U8 [(n+1)/2, 1] |
/// | `<m>.weight.absmax` | U8 [blocks] codes when nested, else F32 |
/// | `<m>.weight.quant_map` | F32 [16] |
/// | `<m>.weight.nested_absmax` | F32 [ceil(blocks/256)], nested only |
/// | `<m>.weight.nested_quant_map` | F32 [256], nested only |
/// | `<m>.weight.quant_state.bitsandbytes__nf4` | U8 [length], JSON |
package enum NF4Writer {
    /// What a dense matrix becomes with double quantization, before it is quantized; its state is padded.
    /// - Throws: `FormatError` for extents that are none.
    package static func infos(of source: TensorInfo, module: String) throws -> [TensorInfo] {
        let name = module + ".weight"
        let count = source.shape.count
        let blocks = NF4Format.blocks(count)
        let state = NF4State(
            blockSize: NF4Format.blockSize, dtype: source.dtype == .f64 ? .f32 : source.dtype,
            shape: source.shape.dims, nested: .init(blockSize: NF4Format.nestedBlockSize, offset: 0)
        )
        return [
            try TensorInfo(name: name, dtype: .u8, shape: Shape(NF4Format.packedBytes(count), 1)),
            try TensorInfo(name: name + ".quant_map", dtype: .f32, shape: Shape(16)),
            try TensorInfo(name: name + ".absmax", dtype: .u8, shape: Shape(blocks)),
            try TensorInfo(
                name: name + ".nested_absmax", dtype: .f32,
                shape: Shape(NF4Format.blocks(blocks, size: NF4Format.nestedBlockSize))),
            try TensorInfo(name: name + ".nested_quant_map", dtype: .f32, shape: Shape(256)),
            try TensorInfo(
                name: name + NF4Scheme.stateSuffix, dtype: .u8,
                shape: Shape(paddedBytes(state))),
        ]
    }

    /// Bytes of a state whose offset may take any number of digits.
    private static func paddedBytes(_ state: NF4State) -> Int {
        let short = NF4State(
            blockSize: state.blockSize, dtype: state.dtype, shape: state.shape,
            nested: state.nested.map { .init(blockSize: $0.blockSize, offset: 0) })
        return short.json.utf8.count + 24
    }

    /// The tensors of module `module`; codes and scales share the matrix's memory.
    /// - Parameter padsState: whether spaces follow the state's JSON, so that its size is known before the matrix is.
    /// - Throws: `TensorError` when memory for the small tensors does not suffice.
    package static func tensors(
        _ matrix: NF4Matrix, module: String, ledger: MemoryLedger?, padsState: Bool = false
    ) throws -> [EncodedTensor] {
        let name = module + ".weight"
        let state = NF4State(
            blockSize: NF4Format.blockSize, dtype: matrix.original, shape: matrix.shape.dims,
            nested: matrix.nested.map {
                NF4State.Nested(blockSize: NF4Format.nestedBlockSize, offset: $0.offset)
            })
        var result = [
            EncodedTensor(
                try TensorInfo(
                    name: name, dtype: .u8,
                    shape: Shape(NF4Format.packedBytes(matrix.shape.count), 1)), matrix.packed),
            try EncodedTensor(
                name + ".quant_map", .f32, Shape(16), copying: NF4Format.values, ledger: ledger),
        ]
        let absmax = name + ".absmax"
        if let nested = matrix.nested {
            let blocks = NF4Format.blocks(nested.count, size: NF4Format.nestedBlockSize)
            result += [
                EncodedTensor(
                    try TensorInfo(name: absmax, dtype: .u8, shape: Shape(nested.count)),
                    nested.codes),
                EncodedTensor(
                    try TensorInfo(
                        name: name + ".nested_absmax", dtype: .f32, shape: Shape(blocks)),
                    nested.absmax),
                try EncodedTensor(
                    name + ".nested_quant_map", .f32, Shape(256), copying: NF4Format.nestedMap,
                    ledger: ledger),
            ]
        } else {
            result.append(
                EncodedTensor(
                    try TensorInfo(name: absmax, dtype: .f32, shape: Shape(matrix.blocks)),
                    matrix.absmax))
        }
        var json = Array(state.json.utf8)
        if padsState {
            let rest = max(0, paddedBytes(state) - json.count)
            json += Array(repeating: UInt8(ascii: " "), count: rest)
        }
        result.append(
            try EncodedTensor(
                name + NF4Scheme.stateSuffix, .u8, Shape(json.count), copying: json,
                ledger: ledger))
        return result
    }
}
