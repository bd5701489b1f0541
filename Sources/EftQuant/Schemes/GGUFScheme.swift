// SPDX-License-Identifier: Apache-2.0
// Weights of GGUF files, and of others that show them so: blocks of quantized numbers.
import CEftKernels
import EftFormats
import EftGGUF
import EftTensor

/// A weight in blocks of one of GGUF's quantized types.
///
/// Types whose groups of 16 or 32 numbers are codes times a scale, with or without an offset, are held as they are. Numbers of other
/// types are held in half precision, which changes a number by at most one part in 2048.
package struct GGUFScheme: QuantScheme {
    package static let name = "GGUF"

    private let module: LinearModule
    private let type: GGUFTensorType
    /// The same weight as the numbers that the blocks stand for.
    private let dense: DenseScheme
    private let info: TensorInfo

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.blockType(of: module + ".weight") != nil
    }

    package init(_ module: LinearModule) throws {
        guard let type = module.checkpoint.blockType(of: module.name + ".weight") else {
            throw module.error(.missing, "weight", "is not stored in blocks")
        }
        self.module = module
        self.type = type
        dense = try DenseScheme(module)
        info = try module.checkpoint.tensor(module.name + ".weight")
    }

    /// The name of the type, such as "Q4_K".
    package var typeName: String { type.name }

    package var storedTensors: [TensorInfo] { [info] }
    /// Blocks are read by themselves.
    package var tensorsInOrder: [TensorInfo] { [] }
    package var valueType: DType { info.dtype }
    package var storedBytes: Int { module.outputs * rowBytes }

    /// Bytes of the blocks of a row.
    private var rowBytes: Int { module.inputs / type.blockSize * type.blockBytes }

    // MARK: Size

    /// The codes that hold the type; nil where they do not.
    private var form: BlockForm? { BlockForm(type) }

    package func layout(as target: WeightTarget) -> WeightLayout {
        guard target == .asStored else { return dense.layout(as: target) }
        guard let form else {
            return WeightLayout(.f16, inputs: module.inputs, outputs: module.outputs)
        }
        return form.layout(inputs: module.inputs, outputs: module.outputs)
    }

    package func scratchBytes(as target: WeightTarget) -> Int {
        guard target == .asStored, form != nil else { return dense.scratchBytes(as: target) }
        return min(chunkRows, module.outputs) * rowBytes
    }

    /// Rows that are loaded at a time.
    private var chunkRows: Int {
        RowChunks.length(rows: module.outputs, rowBytes: rowBytes, unit: 16)
    }

    // MARK: Load

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        guard target == .asStored else {
            return try dense.load(as: target, backend: backend, purpose: purpose)
        }
        let weight = try PackedWeight(
            layout: layout(as: target), ledger: backend.ledger, purpose: purpose, workers: backend)
        if form != nil {
            try fillCoded(weight, backend: backend)
        } else {
            try fillHalves(weight, backend: backend)
        }
        return weight
    }

    private func fillCoded(_ weight: PackedWeight, backend: CPUBackend) throws {
        let blocks = try Buffer(
            byteCount: scratchBytes(as: .asStored), ledger: backend.ledger, purpose: .workspace)
        for rows in RowChunks.ranges(rows: module.outputs, length: chunkRows) {
            try module.checkpoint.readBlocks(
                info.name, rows: rows,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: blocks.bytes[..<(rows.count * rowBytes)]))
            let isFinite = withUnsafePointer(to: weight.descriptor) {
                eft_gguf_pack(
                    backend.context, $0, type.rawValue, weight.panels.base, weight.scales.base,
                    blocks.base, rows.lowerBound, rows.count)
            }
            guard isFinite else { throw fault(rows) }
        }
    }

    private func fillHalves(_ weight: PackedWeight, backend: CPUBackend) throws {
        try DenseRows(info, of: module.checkpoint, backend: backend).pack(into: weight)
        // Numbers beyond the largest half would be infinite.
        guard
            eft_all_finite(
                backend.context, weight.panels.byteCount / 2, weight.panels.base, EFT_F16)
        else {
            throw module.error(
                .unsupported, "weight", "holds numbers that half precision does not hold")
        }
    }

    private func fault(_ rows: Range<Int>) -> FormatError {
        module.error(
            .damaged, "weight",
            "rows \(rows.lowerBound) to \(rows.upperBound - 1) hold infinite or NaN values")
    }

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        try dense.dequantize(outputs: outputs, into: target)
    }
}
