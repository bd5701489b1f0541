// SPDX-License-Identifier: Apache-2.0
// From a dense weight in a checkpoint to NF4, by runs of rows.
import CEftKernels
import EftFormats
import EftTensor

/// Quantizes runs of rows of a stored dense matrix.
struct NF4Rows {
    private let rows: DenseRows
    private let columns: Int
    private let backend: CPUBackend
    /// Room for a run in f32; empty when the rows are f32 already.
    private let floats: Buffer

    /// The runs; all but the last hold whole blocks of 64 numbers.
    var ranges: [Range<Int>] { rows.ranges }

    /// Numbers in the longest run.
    static func chunkCount(rows: Int, columns: Int) -> Int {
        min(DenseRows.length(rows: rows, columns: columns), rows) * columns
    }

    /// Bytes of scratch.
    static func byteCount(dtype: DType, rows: Int, columns: Int) -> Int {
        let conversion = dtype.byteWidth == 2 ? chunkCount(rows: rows, columns: columns) * 4 : 0
        return DenseRows.byteCount(dtype: dtype, rows: rows, columns: columns) + conversion
    }

    init(
        _ info: TensorInfo, of checkpoint: any CheckpointReader, backend: CPUBackend
    ) throws(TensorError) {
        rows = try DenseRows(info, of: checkpoint, backend: backend)
        columns = info.shape.dims[1]
        self.backend = backend
        let count = NF4Rows.chunkCount(rows: info.shape.dims[0], columns: columns)
        floats = try Buffer(
            byteCount: info.dtype.byteWidth == 2 ? count * 4 : 0, ledger: backend.ledger,
            purpose: .workspace)
    }

    /// Quantizes one of `ranges`: codes to `packed`, and a scale a block to `absmax`.
    /// - Throws: `FormatError`.
    func quantize(
        _ range: Range<Int>, packed: UnsafeMutablePointer<UInt8>,
        absmax: UnsafeMutablePointer<Float>
    ) throws(FormatError) {
        let (source, type) = try rows.read(range)
        let count = range.count * columns
        var values = source.assumingMemoryBound(to: Float.self)
        if type != EFT_F32 {
            eft_convert(backend.context, count, source, type, floats.base, EFT_F32)
            values = UnsafePointer(floats.floats)
        }
        eft_nf4_quantize(backend.context, count, NF4Format.blockSize, values, packed, absmax)
    }
}

/// A dense matrix of a checkpoint, quantized to NF4 in whole and not yet in panels.
package struct NF4Matrix: Sendable {
    /// Codes, two a byte.
    package let packed: Buffer
    /// Scales [blocks] in f32, as they decode.
    package let absmax: Buffer
    /// The second quantization of the scales, when there is one.
    package let nested: NF4NestedScales?
    /// N and K.
    package let shape: Shape
    /// The type of the numbers that were quantized.
    package let original: DType

    /// Number of blocks.
    package var blocks: Int { NF4Format.blocks(shape.count) }

    /// Most bytes that quantizing a matrix with double quantization takes, with the small tensors that are written with
    /// it.
    package static func byteCount(stored dtype: DType, inputs: Int, outputs: Int) -> Int {
        let blocks = NF4Format.blocks(inputs * outputs)
        return NF4Format.packedBytes(inputs * outputs) + blocks * 4
            + NF4Rows.byteCount(dtype: dtype, rows: outputs, columns: inputs)
            + NF4NestedScales.byteCount(blocks) + 4096
    }

    /// Quantizes a stored matrix [N, K] of real numbers; all memory is taken under `.workspace`.
    /// - Throws: `FormatError`, `TensorError`.
    package init(
        quantizing info: TensorInfo, of checkpoint: any CheckpointReader, doubleQuantization: Bool,
        backend: CPUBackend
    ) throws {
        guard info.shape.dims.count == 2, info.shape.count > 0, info.dtype.isFloatingPoint else {
            throw FormatError(
                .unsupported, "only a matrix of real numbers can be quantized to NF4",
                path: checkpoint.path, tensor: info.name)
        }
        shape = info.shape
        original = info.dtype == .f64 ? .f32 : info.dtype
        let columns = info.shape.dims[1]
        packed = try Buffer(
            byteCount: NF4Format.packedBytes(shape.count), ledger: backend.ledger,
            purpose: .workspace)
        absmax = try Buffer(
            byteCount: NF4Format.blocks(shape.count) * 4, ledger: backend.ledger,
            purpose: .workspace)
        let rows = try NF4Rows(info, of: checkpoint, backend: backend)
        for range in rows.ranges {
            let first = range.lowerBound * columns
            try rows.quantize(
                range, packed: packed.base.assumingMemoryBound(to: UInt8.self) + first / 2,
                absmax: absmax.floats + first / NF4Format.blockSize)
        }
        nested =
            doubleQuantization
            ? try NF4NestedScales(
                replacing: absmax, count: NF4Format.blocks(shape.count), backend: backend) : nil
    }
}

/// Loads dense weights as NF4.
enum NF4Loader {
    /// The most temporary bytes of `fill`.
    static func scratchBytes(
        stored dtype: DType, inputs: Int, outputs: Int, doubleQuantization: Bool
    ) -> Int {
        let count = inputs * outputs
        let isCoded =
            NF4Format.groupInputs(inputs: inputs, blockSize: NF4Format.blockSize) != nil
        let codes = isCoded ? NF4Rows.chunkCount(rows: outputs, columns: inputs) : count
        let blocks = NF4Format.blocks(count)
        return NF4Rows.byteCount(dtype: dtype, rows: outputs, columns: inputs)
            + NF4Format.packedBytes(codes) + blocks * 4
            + (doubleQuantization ? NF4NestedScales.byteCount(blocks) : 0)
    }

    /// Quantizes a stored matrix into `weight`, whose layout is that of `NF4Format`.
    /// - Throws: `FormatError`, `TensorError`.
    static func fill(
        _ weight: PackedWeight, from info: TensorInfo, of checkpoint: any CheckpointReader,
        doubleQuantization: Bool, backend: CPUBackend
    ) throws {
        guard case .coded = weight.layout.format else {
            let matrix = try NF4Matrix(
                quantizing: info, of: checkpoint, doubleQuantization: doubleQuantization,
                backend: backend)
            return try fillDense(weight, from: matrix, backend: backend)
        }
        let (outputs, inputs) = (weight.outputs, weight.inputs)
        let rows = try NF4Rows(info, of: checkpoint, backend: backend)
        let chunk = NF4Rows.chunkCount(rows: outputs, columns: inputs)
        let packed = try Buffer(
            byteCount: NF4Format.packedBytes(chunk), ledger: backend.ledger, purpose: .workspace)
        let codes = packed.base.assumingMemoryBound(to: UInt8.self)
        let blocks = NF4Format.blocks(inputs * outputs)
        let absmax = try Buffer(
            byteCount: blocks * 4, ledger: backend.ledger, purpose: .workspace)
        for range in rows.ranges {
            let block = range.lowerBound * inputs / NF4Format.blockSize
            try rows.quantize(range, packed: codes, absmax: absmax.floats + block)
            weight.packNF4(codes, rows: range, context: backend.context)
        }
        if doubleQuantization {
            _ = try NF4NestedScales(replacing: absmax, count: blocks, backend: backend)
        }
        weight.setNF4Scales(
            absmax.floats, firstBlock: 0, blockSize: NF4Format.blockSize, rows: 0..<outputs)
    }

    /// Decodes a matrix whose rows do not divide in blocks of 32 into panels of its original type.
    private static func fillDense(
        _ weight: PackedWeight, from matrix: NF4Matrix, backend: CPUBackend
    ) throws(TensorError) {
        let columns = weight.inputs
        let length = DenseRows.length(rows: weight.outputs, columns: columns)
        let floats = try Buffer(
            byteCount: NF4Rows.chunkCount(rows: weight.outputs, columns: columns) * 4,
            ledger: backend.ledger, purpose: .workspace)
        for range in RowChunks.ranges(rows: weight.outputs, length: length) {
            let first = range.lowerBound * columns
            eft_nf4_dequantize(
                backend.context, range.count * columns, NF4Format.blockSize,
                matrix.packed.base.assumingMemoryBound(to: UInt8.self) + first / 2,
                matrix.absmax.floats + first / NF4Format.blockSize, floats.floats)
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, floats.base, EFT_F32, range.lowerBound,
                    range.count)
            }
        }
    }
}
