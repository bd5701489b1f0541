// SPDX-License-Identifier: Apache-2.0
// A model folder to one whose linear layers stand in 8-bit floating point, as DeepSeek and Qwen publish theirs.
import CEftKernels
import EftConfig
import EftFormats
import EftModels
import EftTensor

/// Rewrites a model folder with the linear layers of its decoder layers in E4M3 and a scale for each block of inputs and
/// outputs, some rows of a matrix at a time; all else stays as stored.
///
/// A block's scale makes its largest number the largest of E4M3, in the operations of transformers' `Fp8Quantize`. What was
/// written before a run was stopped is kept for the next one (`UnfinishedFolder`).
package final class FP8Converter {
    /// Rows and columns that can share a scale.
    package static let blockSizes = [32, 64, 128]

    /// What a tensor becomes.
    private struct Item {
        let source: TensorInfo
        let tensors: [TensorInfo]
        var isQuantized: Bool { tensors.count > 1 }
    }

    private let folder: ModelFolder
    private let output: String
    private let block: Int
    private let maxShardBytes: Int
    private let backend: CPUBackend
    private let checkpoint: any CheckpointReader
    private let items: [Item]
    /// Bytes that will be written.
    package let byteCount: Int
    /// Tensors that will be written.
    package var tensorCount: Int { items.reduce(0) { $0 + $1.tensors.count } }

    /// Opens and checks the input; writes nothing yet.
    /// - Parameters:
    ///   - block: rows and columns that share a scale.
    /// - Throws: `ConversionError` for a model whose linear layers are quantized already, `FormatError`, `ModelError`.
    package init(
        _ folder: ModelFolder, output: String, block: Int = 128,
        maxShardBytes: Int = SafetensorsWriter.defaultShardBytes, backend: CPUBackend
    ) throws {
        try OutputFolder.requireApart(output, from: [folder.path])
        guard FP8Converter.blockSizes.contains(block) else {
            throw ConversionError(
                .usage, "--group-size \(block): blocks of FP8 have 32, 64 or 128 rows and columns")
        }
        guard let shown = folder.checkpoint, try folder.isDense() else {
            throw ConversionError(
                .unsupported,
                "FP8 is made of 16-bit or 32-bit weights; these are quantized, or missing (eft convert --dtype bf16 "
                    + "makes numbers of codes)",
                path: folder.path)
        }
        // Experts that stand in one tensor stay as they are.
        let checkpoint = (shown as? StackedCheckpoint)?.base ?? shown
        let modules = Set(folder.description.roundedLinears.map { $0.name + ".weight" })
        items = try checkpoint.tensors.map { source in
            guard modules.contains(source.name), source.dtype.isFloatingPoint else {
                return Item(source: source, tensors: [source])
            }
            return Item(source: source, tensors: try FP8Converter.tensors(of: source, block: block))
        }
        guard items.contains(where: \.isQuantized) else {
            throw ConversionError(
                .unsupported, "the checkpoint has no linear layer of 16-bit or 32-bit weights",
                path: folder.path)
        }
        self.folder = folder
        self.output = output
        self.block = block
        self.maxShardBytes = maxShardBytes
        self.backend = backend
        self.checkpoint = checkpoint
        byteCount = try items.flatMap(\.tensors).totalByteCount()
        try OutputFolder.requireNoOtherWeights(output, stem: "model")
    }

    /// Extents of layers that blocks do not divide; transformers unpacks such layers on a GPU only.
    package var partialBlocks: Int {
        items.filter {
            $0.isQuantized && $0.source.shape.dims.contains { $0 % block != 0 }
        }.count
    }

    private static func tensors(
        of source: TensorInfo, block: Int
    ) throws(FormatError) -> [TensorInfo] {
        let dims = source.shape.dims
        guard dims.count == 2, dims.allSatisfy({ $0 > 0 }) else {
            throw FormatError(
                .unsupported, "has shape \(source.shape) where a matrix is expected",
                tensor: source.name)
        }
        return [
            try TensorInfo(name: source.name, dtype: .f8e4m3, shape: source.shape),
            try TensorInfo(
                name: source.name + "_scale_inv", dtype: .f32,
                shape: Shape((dims[0] - 1) / block + 1, (dims[1] - 1) / block + 1)),
        ]
    }

    // MARK: Run

    /// Most bytes that `run` takes, by purpose.
    package static func memory(_ description: DecoderDescription, block: Int) -> MemoryTable {
        let most = description.roundedLinears.reduce(0) {
            max($0, workBytes(inputs: $1.inputs, outputs: $1.outputs, block: block))
        }
        return MemoryTable([.workspace: most, .window: TensorCaster.byteCount])
    }

    /// Numbers and codes of a row of blocks, and the scales of all.
    private static func workBytes(inputs: Int, outputs: Int, block: Int) -> Int {
        let (rows, columns) = ((outputs - 1) / block + 1, (inputs - 1) / block + 1)
        return min(block, outputs) * inputs * (4 + 1) + rows * columns * 4
    }

    /// Writes the folder, or what a run that was stopped has left to write.
    /// - Returns: the weight files.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        var identity = JobIdentity(
            "quantize to FP8 in blocks of \(block)", dtype: nil, maxShardBytes: maxShardBytes,
            instructionSet: backend.instructionSet)
        try identity.add(input: folder.path, as: "input")
        let unfinished = try UnfinishedFolder(output: output, stem: "model", identity: identity)
        return try unfinished.run(
            items.flatMap(\.tensors), maxShardBytes: maxShardBytes, monitor,
            weights: { try writeWeights(to: $0, monitor) }, others: writeOtherFiles)
    }

    private func writeWeights(to writer: SafetensorsWriter, _ monitor: ConversionMonitor) throws {
        let caster = try TensorCaster(checkpoint, backend: backend)
        var done = writer.keptBytes
        func advance(_ item: Item, _ bytes: Int) throws {
            done += bytes
            try monitor.step(item.source.name, done: done, total: byteCount)
        }
        for item in items {
            let missing = Set(item.tensors.map(\.name).filter { !writer.isKept($0) })
            guard !missing.isEmpty else { continue }
            if item.isQuantized {
                try writeMatrix(item, missing, to: writer) { try advance(item, $0) }
            } else {
                try caster.copy(item.source, as: item.source.dtype, to: writer) {
                    try advance(item, $0)
                }
            }
        }
    }

    private func writeMatrix(
        _ item: Item, _ missing: Set<String>, to writer: SafetensorsWriter,
        advance: (Int) throws -> Void
    ) throws {
        let (info, dims) = (item.source, item.source.shape.dims)
        let (outputs, inputs) = (dims[0], dims[1])
        let columns = (inputs - 1) / block + 1
        let rows = min(block, outputs)
        let numbers = try buffer(rows * inputs * 4)
        let codes = try buffer(rows * inputs)
        let scales = try buffer(((outputs - 1) / block + 1) * columns * 4)
        for (index, first) in stride(from: 0, to: outputs, by: block).enumerated() {
            let count = min(block, outputs - first)
            let elements = first * inputs..<(first + count) * inputs
            try checkpoint.readFloats(
                info.name, elements: elements,
                into: UnsafeMutableBufferPointer(start: numbers.floats, count: elements.count))
            guard backend.allFinite(count: elements.count, numbers.floats, .f32) else {
                throw ConversionError(
                    .numbers, Numbers.stored, path: checkpoint.path, tensor: info.name)
            }
            eft_fp8_quantize(
                backend.context, count, inputs, block, numbers.floats,
                codes.base.assumingMemoryBound(to: UInt8.self), scales.floats + index * columns)
            guard missing.contains(item.tensors[0].name) else { continue }
            try writer.write(
                info.name, UnsafeRawBufferPointer(rebasing: codes.bytes[..<elements.count]))
            try advance(elements.count)
        }
        checkpoint.releasePages(of: info.name)
        guard missing.contains(item.tensors[1].name) else { return }
        try writer.write(item.tensors[1].name, UnsafeRawBufferPointer(scales.bytes))
        try advance(item.tensors[1].byteCount)
    }

    private func buffer(_ bytes: Int) throws(TensorError) -> Buffer {
        try Buffer(byteCount: bytes, ledger: backend.ledger, purpose: .workspace)
    }

    private func writeOtherFiles(to target: String) throws {
        try OutputFolder.copyOtherFiles(from: folder.path, to: target)
        guard var config = try ConfigEditor(folder: folder.path) else { return }
        config.set(
            "quantization_config",
            [
                "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                "weight_block_size": ConfigNode(
                    .array([ConfigNode(.integer(block)), ConfigNode(.integer(block))])),
                "modules_to_not_convert": ConfigNode(.array(keptModules.map { ConfigNode($0) })),
            ])
        try config.write(to: target)
    }

    /// Modules of matrices that stay as they are, so that a reader makes no FP8 layers of them.
    private var keptModules: [String] {
        let suffix = ".weight"
        let description = folder.description
        var kept = [description.headName]
        for item in items where !item.isQuantized && item.source.shape.dims.count >= 2 {
            let name = item.source.name
            let module = name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name
            guard module != description.embeddingName, module != description.headName else {
                continue
            }
            // Of a tensor of all experts, the module that holds it.
            kept.append(
                name.hasSuffix(suffix)
                    ? module : name.split(separator: ".").dropLast().joined(separator: "."))
        }
        var seen: Set<String> = []
        return kept.filter { seen.insert($0).inserted }
    }
}
