// SPDX-License-Identifier: Apache-2.0
// Weights that are not quantized: `<module>.weight` [N, K] of any type of real numbers.
import CEftKernels
import EftFormats
import EftTensor

/// A weight of plain numbers, `<module>.weight` [N, K].
package struct DenseScheme: QuantScheme {
    package static let name = "dense"

    private let module: LinearModule
    private let info: TensorInfo

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.find(module + ".weight") != nil
    }

    package init(_ module: LinearModule) throws {
        let info = try module.checkpoint.tensor(module.name + ".weight")
        guard info.dtype.isFloatingPoint else {
            throw module.error(
                .unsupported, "weight",
                "holds \(info.dtype.rawValue) numbers of a quantization that is not known; start "
                    + "from the unquantized model")
        }
        guard info.shape.dims == [module.outputs, module.inputs] else {
            throw module.wrongShape(
                "weight", found: info.shape.dims, expected: [module.outputs, module.inputs])
        }
        self.module = module
        self.info = info
    }

    package var storedTensors: [TensorInfo] { [info] }
    package var tensorsInOrder: [TensorInfo] { [info] }
    package var valueType: DType { info.dtype }

    // MARK: Size

    /// The layout of a matrix stored as `dtype`; what a planner without a checkpoint asks.
    package static func layout(
        stored dtype: DType, as target: WeightTarget, inputs: Int, outputs: Int
    ) -> WeightLayout {
        switch target {
        case .f32: WeightLayout(.f32, inputs: inputs, outputs: outputs)
        case .asStored: WeightLayout(dtype.denseFormat, inputs: inputs, outputs: outputs)
        case .nf4:
            NF4Format.layout(
                inputs: inputs, outputs: outputs, blockSize: NF4Format.blockSize, original: dtype)
        case .int8: Int8Format.layout(inputs: inputs, outputs: outputs)
        }
    }

    package func layout(as target: WeightTarget) -> WeightLayout {
        DenseScheme.layout(
            stored: info.dtype, as: target, inputs: module.inputs, outputs: module.outputs)
    }

    package func scratchBytes(as target: WeightTarget) -> Int {
        DenseScheme.scratchBytes(
            stored: info.dtype, as: target, inputs: module.inputs, outputs: module.outputs)
    }

    /// Temporary bytes of loading a matrix stored as `dtype`; what a planner without a checkpoint asks.
    package static func scratchBytes(
        stored dtype: DType, as target: WeightTarget, inputs: Int, outputs: Int
    ) -> Int {
        switch target {
        case .asStored, .f32:
            DenseRows.byteCount(dtype: dtype, rows: outputs, columns: inputs)
        case .nf4(let double):
            NF4Loader.scratchBytes(
                stored: dtype, inputs: inputs, outputs: outputs, doubleQuantization: double)
        case .int8: Int8Loader.scratchBytes(stored: dtype, inputs: inputs, outputs: outputs)
        }
    }

    // MARK: Load

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), ledger: backend.ledger, purpose: purpose, workers: backend)
        if case .nf4(let double) = target {
            try NF4Loader.fill(
                weight, from: info, of: module.checkpoint, doubleQuantization: double,
                backend: backend)
            return weight
        }
        if target == .int8 {
            try Int8Loader.fill(weight, from: info, of: module.checkpoint, backend: backend)
            return weight
        }
        try DenseRows(info, of: module.checkpoint, backend: backend).pack(into: weight)
        return weight
    }

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        let k = module.inputs
        try module.checkpoint.readFloats(
            info.name, elements: outputs.lowerBound * k..<outputs.upperBound * k, into: target)
    }
}

/// Reads a stored matrix by runs of rows, each checked to be finite.
struct DenseRows {
    private let info: TensorInfo
    private let checkpoint: any CheckpointReader
    private let backend: CPUBackend
    private let columns: Int
    private let buffer: Buffer
    /// The runs to read.
    let ranges: [Range<Int>]

    /// Rows of a run: a multiple of 16 (a panel), and of a number of elements that 64 (a block of NF4) divides.
    static func length(rows: Int, columns: Int) -> Int {
        RowChunks.length(rows: rows, rowBytes: columns * 4, unit: columns % 4 == 0 ? 16 : 64)
    }

    /// Bytes of scratch for one run; f64 is narrowed while it is read.
    static func byteCount(dtype: DType, rows: Int, columns: Int) -> Int {
        min(length(rows: rows, columns: columns), rows) * columns * min(dtype.byteWidth, 4)
    }

    /// Takes the scratch.
    /// - Throws: `TensorError` when it does not fit.
    init(
        _ info: TensorInfo, of checkpoint: any CheckpointReader, backend: CPUBackend
    ) throws(TensorError) {
        let (rows, columns) = (info.shape.dims[0], info.shape.dims[1])
        self.info = info
        self.checkpoint = checkpoint
        self.backend = backend
        self.columns = columns
        ranges = RowChunks.ranges(
            rows: rows, length: DenseRows.length(rows: rows, columns: columns))
        buffer = try Buffer(
            byteCount: DenseRows.byteCount(dtype: info.dtype, rows: rows, columns: columns),
            ledger: backend.ledger, purpose: .workspace)
    }

    /// Reads all rows into a weight of plain numbers.
    /// - Throws: as `read`.
    func pack(into weight: PackedWeight) throws(FormatError) {
        for range in ranges {
            let (source, type) = try read(range)
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, source, type, range.lowerBound,
                    range.count)
            }
        }
    }

    /// Reads one of `ranges`; the numbers stay until the next call.
    /// - Throws: `FormatError`, also when a number is infinite or NaN.
    func read(_ rows: Range<Int>) throws(FormatError) -> (UnsafeRawPointer, eft_float_type) {
        let elements = rows.lowerBound * columns..<rows.upperBound * columns
        let type = info.dtype.kernelType
        if info.dtype == .f64 {
            let target = UnsafeMutableBufferPointer(start: buffer.floats, count: elements.count)
            try checkpoint.readFloats(info.name, elements: elements, into: target)
        } else {
            let width = info.dtype.byteWidth
            let target = UnsafeMutableRawBufferPointer(
                start: buffer.base, count: elements.count * width)
            try checkpoint.read(
                info.name, bytes: elements.lowerBound * width..<elements.upperBound * width,
                into: target)
        }
        checkpoint.releasePages(of: info.name)
        guard eft_all_finite(backend.context, elements.count, buffer.base, type) else {
            throw FormatError(
                .damaged,
                "rows \(rows.lowerBound) to \(rows.upperBound - 1) hold infinite or NaN values",
                path: checkpoint.path, tensor: info.name)
        }
        return (UnsafeRawPointer(buffer.base), type)
    }
}

extension DType {
    /// The format of panels that hold numbers of this type without loss (f64: narrowed to f32).
    var denseFormat: WeightLayout.Format {
        switch self {
        case .f16: .f16
        case .bf16: .bf16
        default: .f32
        }
    }

    /// The kernels' name of the type (f64: of the f32 to which it is narrowed).
    var kernelType: eft_float_type {
        switch self {
        case .f16: EFT_F16
        case .bf16: EFT_BF16
        default: EFT_F32
        }
    }
}
