// SPDX-License-Identifier: Apache-2.0
// A 16-bit model folder to one whose linear layers stand in NF4, as bitsandbytes stores them.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// Rewrites a model folder with the linear layers of its decoder layers in NF4 with double quantization, a matrix at a
/// time; all else stays as stored.
///
/// The numbers are those that quantizing while loading gives, bit for bit. What was written before a run was stopped is
/// kept for the next one (`UnfinishedFolder`).
package final class NF4Converter {
    private let folder: ModelFolder
    private let output: String
    private let maxShardBytes: Int
    private let backend: CPUBackend
    private let checkpoint: any CheckpointReader
    /// What will be written, in order, by the tensor that it is made of.
    private let groups: [(source: TensorInfo, tensors: [TensorInfo], isQuantized: Bool)]
    /// Bytes that will be written.
    package let byteCount: Int
    /// Tensors that will be written.
    package var tensorCount: Int { groups.reduce(0) { $0 + $1.tensors.count } }

    /// Opens and checks the input; writes nothing yet.
    /// - Throws: `ConversionError` for a model whose linear layers are quantized already, `FormatError`, `ModelError`.
    package init(
        _ folder: ModelFolder, output: String,
        maxShardBytes: Int = SafetensorsWriter.defaultShardBytes, backend: CPUBackend
    ) throws {
        try OutputFolder.requireApart(output, from: [folder.path])
        guard let shown = folder.checkpoint, try folder.isDense() else {
            throw ConversionError(
                .unsupported,
                "NF4 is made of 16-bit or 32-bit weights; these are quantized, or missing",
                path: folder.path)
        }
        // Experts that stand in one tensor stay as they are, as with bitsandbytes.
        let checkpoint = (shown as? StackedCheckpoint)?.base ?? shown
        if let blocks = checkpoint.tensors.first(where: { $0.name.hasSuffix("_blocks") }) {
            throw ConversionError(
                .unsupported,
                "the experts stand in 4 bits (MXFP4) already; train and run the model as it is",
                path: folder.path, tensor: blocks.name)
        }
        self.folder = folder
        self.output = output
        self.maxShardBytes = maxShardBytes
        self.backend = backend
        self.checkpoint = checkpoint
        var modules: [String: String] = [:]
        for linear in folder.description.roundedLinears {
            modules[linear.name + ".weight"] = linear.name
        }
        groups = try checkpoint.tensors.map { source in
            guard let module = modules[source.name] else { return (source, [source], false) }
            return (source, try NF4Writer.infos(of: source, module: module), true)
        }
        byteCount = try groups.flatMap(\.tensors).totalByteCount()
        try OutputFolder.requireNoOtherWeights(output, stem: "model")
    }

    /// Most bytes that `run` takes, by purpose, for weights stored as `dtype`.
    package static func memory(
        _ description: DecoderDescription, stored dtype: DType = .bf16
    ) -> MemoryTable {
        let most = description.distinctLinears.reduce(0) {
            max($0, NF4Matrix.byteCount(stored: dtype, inputs: $1.inputs, outputs: $1.outputs))
        }
        return MemoryTable([.workspace: most, .window: TensorCaster.byteCount])
    }

    /// Writes the folder, or what a run that was stopped has left to write.
    /// - Returns: the weight files.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        var identity = JobIdentity(
            "convert to NF4", dtype: nil, maxShardBytes: maxShardBytes,
            instructionSet: backend.instructionSet)
        try identity.add(input: folder.path, as: "input")
        let unfinished = try UnfinishedFolder(output: output, stem: "model", identity: identity)
        return try unfinished.run(
            groups.flatMap(\.tensors), maxShardBytes: maxShardBytes, monitor,
            weights: { try writeWeights(to: $0, monitor) }, others: writeOtherFiles)
    }

    private func writeWeights(to writer: SafetensorsWriter, _ monitor: ConversionMonitor) throws {
        let caster = try TensorCaster(checkpoint, backend: backend)
        var done = writer.keptBytes
        for group in groups {
            let missing = group.tensors.filter { !writer.isKept($0.name) }
            guard !missing.isEmpty else { continue }
            if group.isQuantized {
                try monitor.checkInterrupt()
                try writeMatrix(group.source, Set(missing.map(\.name)), to: writer)
                done += missing.reduce(0) { $0 + $1.byteCount }
                try monitor.step(group.source.name, done: done, total: byteCount)
            } else {
                try caster.copy(group.source, as: group.source.dtype, to: writer) { bytes in
                    done += bytes
                    try monitor.step(group.source.name, done: done, total: byteCount)
                }
            }
        }
    }

    private func writeMatrix(
        _ source: TensorInfo, _ missing: Set<String>, to writer: SafetensorsWriter
    ) throws {
        let matrix = try NF4Matrix(
            quantizing: source, of: checkpoint, doubleQuantization: true, backend: backend)
        let module = String(source.name.dropLast(".weight".count))
        let tensors = try NF4Writer.tensors(
            matrix, module: module, ledger: backend.ledger, padsState: true)
        for tensor in tensors where missing.contains(tensor.info.name) {
            try writer.write(tensor.info.name, UnsafeRawBufferPointer(tensor.bytes.bytes))
        }
        checkpoint.releasePages(of: source.name)
    }

    private func writeOtherFiles(to target: String) throws {
        try OutputFolder.copyOtherFiles(from: folder.path, to: target)
        guard var config = try ConfigEditor(folder: folder.path) else { return }
        config.set(
            "quantization_config",
            [
                "quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
                "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
                "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
            ])
        try config.write(to: target)
    }
}
