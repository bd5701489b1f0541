// SPDX-License-Identifier: Apache-2.0
// Any checkpoint folder to safetensors, in the same or another type of real numbers.
import EftConfig
import EftFormats
import EftTensor

/// Rewrites a model or adapter folder as safetensors, tensor by tensor.
///
/// Real numbers take the type asked for, integers and truth values stay. `config.json` names the new type; all files
/// that hold no weights are copied. An output whose name ends with `.safetensors` is one file, without any other beside
/// it. What was written before a run was stopped is kept for the next one, and no half-made
/// folder looks whole (`UnfinishedFolder`).
package final class CheckpointConverter {
    /// What to write.
    package struct Options: Sendable, Hashable {
        /// The type of real numbers; nil for as stored.
        package var dtype: DType?
        /// Bytes of a shard at most.
        package var maxShardBytes: Int

        /// Makes options.
        package init(
            dtype: DType? = nil, maxShardBytes: Int = SafetensorsWriter.defaultShardBytes
        ) {
            self.dtype = dtype
            self.maxShardBytes = maxShardBytes
        }
    }

    private let input: String
    private let output: String
    private let options: Options
    private let backend: CPUBackend
    /// Whether the output is one file instead of a folder.
    private let writesFile: Bool
    private let checkpoint: any CheckpointReader
    private let sources: [TensorInfo]
    /// What will be written.
    package let tensors: [TensorInfo]
    /// Bytes that will be written.
    package let byteCount: Int

    /// Bytes that `run` takes, by purpose; independent of the checkpoint.
    package static var memory: MemoryTable { MemoryTable([.window: TensorCaster.byteCount]) }

    /// Opens and checks the input; writes nothing yet.
    /// - Throws: `ConversionError`, `FormatError`, `ConfigError`.
    package init(
        input: String, output: String, options: Options, backend: CPUBackend
    ) throws {
        writesFile = OutputFolder.isFile(output)
        if !writesFile { try OutputFolder.requireApart(output, from: [input]) }
        checkpoint = try CheckpointFolder.open(input)
        if writesFile { try OutputFolder.requireApart(file: output, from: checkpoint.files) }
        if let opaque = checkpoint.opaqueTensors.first {
            throw ConversionError(
                .unsupported, "element type \(opaque.typeName) cannot be converted",
                path: checkpoint.path, tensor: opaque.name)
        }
        if options.dtype != nil { try CheckpointConverter.refuseQuantized(checkpoint) }
        self.input = input
        self.output = output
        self.options = options
        self.backend = backend
        let tied = try CheckpointConverter.repeatsTiedHead(input, checkpoint)
        sources = checkpoint.tensors.filter { !(tied && $0.name == "lm_head.weight") }
        tensors = try sources.map { info in
            try TensorInfo(
                name: info.name,
                dtype: TensorCaster.outputType(of: info, wanted: options.dtype), shape: info.shape)
        }
        byteCount = try tensors.totalByteCount()
        if !writesFile { try OutputFolder.requireNoOtherWeights(output, stem: baseName) }
    }

    private var isAdapter: Bool {
        FileSystem.exists(FileSystem.join(input, "adapter_config.json"))
            && !FileSystem.exists(FileSystem.join(input, "config.json"))
    }

    private var baseName: String { !writesFile && isAdapter ? "adapter_model" : "model" }

    /// Endings of tensors that hold codes.
    private static let marks = [
        ".q_weight", ".qweight", ".weight_packed", ".W_q", ".SCB", ".quant_state.bitsandbytes__nf4",
    ]

    /// A tensor of codes, where a checkpoint's weights are quantized.
    package static func codes(in checkpoint: any CheckpointReader) -> TensorInfo? {
        checkpoint.tensors.first { tensor in
            marks.contains(where: tensor.name.hasSuffix)
                || tensor.dtype == .i8 && tensor.name.hasSuffix(".weight")
        }
    }

    private static func refuseQuantized(_ checkpoint: any CheckpointReader) throws {
        guard let codes = codes(in: checkpoint) else { return }
        throw ConversionError(
            .unsupported,
            "the weights are quantized, and changing the type of their scales would break them; "
                + "give a model folder and a folder to write, or leave out --dtype",
            path: checkpoint.path, tensor: codes.name)
    }

    /// Whether a tied head is stored a second time, as `.bin` files have it.
    private static func repeatsTiedHead(
        _ input: String, _ checkpoint: any CheckpointReader
    ) throws -> Bool {
        let names = ("lm_head.weight", "model.embed_tokens.weight")
        guard let head = checkpoint.find(names.0), let embedding = checkpoint.find(names.1),
            head.shape == embedding.shape, head.dtype == embedding.dtype,
            case .bool(true)? = try ConfigEditor(folder: input)?.object["tie_word_embeddings"]?
                .value
        else { return false }
        let step = 1 << 20
        for first in stride(from: 0, to: head.byteCount, by: step) {
            let range = first..<min(first + step, head.byteCount)
            var (a, b) = (
                [UInt8](repeating: 0, count: range.count), [UInt8](repeating: 0, count: range.count)
            )
            try a.withUnsafeMutableBytes { try checkpoint.read(names.0, bytes: range, into: $0) }
            try b.withUnsafeMutableBytes { try checkpoint.read(names.1, bytes: range, into: $0) }
            if a != b { return false }
        }
        return true
    }

    /// Writes the folder, or what a run that was stopped has left to write.
    /// - Returns: the weight files.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        // A single file is made in a folder beside it, and takes its name in the end.
        let place = writesFile ? output + ".eft-work" : output
        let folder = try UnfinishedFolder(output: place, stem: baseName, identity: identity())
        let files = try folder.run(
            tensors, maxShardBytes: writesFile ? .max : options.maxShardBytes, monitor,
            weights: { try writeWeights(to: $0, monitor) },
            others: { if !writesFile { try writeOtherFiles(to: $0) } })
        guard writesFile, let file = files.first else { return files }
        try FileSystem.move(file, to: output)
        try FileSystem.removeFolder(place)
        return [output]
    }

    private func identity() throws -> JobIdentity {
        var identity = JobIdentity(
            "convert", dtype: options.dtype, maxShardBytes: options.maxShardBytes,
            instructionSet: backend.instructionSet)
        try identity.add(input: input, as: "input")
        return identity
    }

    private func writeWeights(
        to writer: SafetensorsWriter, _ monitor: ConversionMonitor
    ) throws {
        let caster = try TensorCaster(checkpoint, backend: backend)
        var done = writer.keptBytes
        let total = byteCount
        for (source, target) in zip(sources, tensors) where !writer.isKept(target.name) {
            try caster.copy(source, as: target.dtype, to: writer) { bytes in
                done += bytes
                try monitor.step(source.name, done: done, total: total)
            }
        }
    }

    private func writeOtherFiles(to folder: String) throws {
        guard FileSystem.isFolder(input) else { return }
        try OutputFolder.copyOtherFiles(
            from: input, to: folder, except: ["config.json"])
        if var config = try ConfigEditor(folder: input) {
            // 8-bit floating point numbers come out as the numbers that they stand for.
            if checkpoint.quantization?.method == .fp8 { config.set("quantization_config", nil) }
            if let dtype = options.dtype { config.setDType(dtype) }
            try config.write(to: folder)
        }
    }
}
