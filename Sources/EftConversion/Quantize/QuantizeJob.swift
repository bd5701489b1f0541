// SPDX-License-Identifier: Apache-2.0
// A model folder to EXL2, layer by layer, resumable at the last finished layer.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Quantizes a model with GPTQ at one width.
///
/// Each layer runs once with its own weights on inputs that come from the layers quantized so far; that gives the
/// Hessians of all its linear layers. Then these are quantized, and the layer runs again to make the next one's inputs.
/// One layer's weights are in memory at a time.
package final class QuantizeJob {
    let folder: ModelFolder
    let output: String
    /// Whether config.json and other files go to the output too.
    let writesFolder: Bool
    let plan: QuantizePlan
    let calibration: CalibrationRows
    let backend: CPUBackend
    let checkpoint: any CheckpointReader
    let work: WorkFolder
    var report = QuantizeReport()
    private var progress: WorkFolder.Progress
    private let settings: ConfigObject
    private let fingerprint: String

    /// Layers that were finished by an earlier run.
    package let resumedLayers: Int

    /// Opens and checks everything; writes nothing but the work folder's beginning.
    /// - Parameters:
    ///   - output: where the finished folder goes; the work folder itself when nil.
    /// - Throws: `ConversionError`, `ModelError`, `FormatError`, `ConfigError`.
    package init(
        input: String, work: String, output: String?, calibration: CalibrationRows,
        options: QuantizeOptions, backend: CPUBackend
    ) throws {
        try OutputFolder.requireApart(work, from: [input])
        if let output {
            try OutputFolder.requireApart(output, from: [input, work])
            try OutputFolder.requireNoOtherWeights(output, stem: "output")
        }
        folder = try ModelFolder.open(input)
            .stretchingRotary(scale: options.ropeScale, alpha: options.ropeAlpha)
        guard let checkpoint = folder.checkpoint else {
            throw ConversionError(.usage, "the folder has no weights", path: input)
        }
        self.checkpoint = checkpoint
        plan = try QuantizePlan(folder.description, options)
        self.calibration = calibration
        self.backend = backend
        self.output = output ?? work
        writesFolder = output != nil
        self.work = WorkFolder(path: work)
        try QuantizeJob.check(folder, checkpoint, calibration)
        settings = QuantizeJob.settings(
            input: input, output: output, calibration: calibration, options: options)
        fingerprint = try QuantizeJob.fingerprint(folder, checkpoint, calibration, options)
        // An earlier job is thrown away when the work begins, not when it is planned.
        if !options.startsAnew,
            let (progress, report) = try self.work.resume(fingerprint: fingerprint)
        {
            self.progress = progress
            self.report = report
        } else {
            progress = .layer(0)
        }
        guard case .layer(let layer) = progress else {
            resumedLayers = folder.description.layers
            return
        }
        guard layer >= 0, layer <= folder.description.layers else {
            throw ConversionError(
                .damaged, "the job names a layer that the model does not have; -nr starts anew",
                path: work)
        }
        resumedLayers = layer
    }

    private static func check(
        _ folder: ModelFolder, _ checkpoint: any CheckpointReader, _ calibration: CalibrationRows
    ) throws {
        let model = folder.description
        for layer in 0..<model.layers {
            for linear in model.linears(layer: layer) {
                let source = try LinearSource(
                    module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
                    outputs: linear.outputs)
                guard source.schemeName != EXL2Scheme.name else {
                    throw ConversionError(
                        .unsupported, "the model is quantized to EXL2 already", path: folder.path,
                        tensor: linear.name)
                }
            }
        }
        for row in calibration.rows {
            guard let bad = row.first(where: { $0 < 0 || Int($0) >= model.vocabulary }) else {
                continue
            }
            throw ConversionError(
                .mismatch,
                "the calibration text has token id \(bad), beyond the model's vocabulary of "
                    + "\(model.vocabulary); tokenizer and model do not belong together",
                path: folder.path)
        }
        guard calibration.longest <= model.contextLength else {
            throw ConversionError(
                .usage,
                "calibration rows of \(calibration.longest) tokens exceed the model's context of "
                    + "\(model.contextLength); lower -l", path: folder.path)
        }
    }

    // MARK: Memory

    /// Most bytes that a job takes, by purpose.
    /// - Parameters:
    ///   - dtype: the type of the stored weights.
    ///   - tokens: tokens of calibration, when known; else all rows count as full.
    /// - Throws: `ConversionError` for widths and extents that EXL2 does not have.
    package static func memory(
        _ description: DecoderDescription, options: QuantizeOptions, stored dtype: DType,
        tokens: Int? = nil, backend: CPUBackend
    ) throws -> MemoryTable {
        try QuantizePlan(description, options).memory(
            stored: dtype, tokens: tokens, on: backend)
    }

    /// Most bytes that this job takes, by purpose.
    package func memory() throws -> MemoryTable {
        plan.memory(stored: try storedType(), tokens: calibration.tokenCount, on: backend)
    }

    private func storedType() throws -> DType {
        let first = folder.description.linear(.query, layer: 0)
        return try LinearSource(
            module: first.name, checkpoint: checkpoint, inputs: first.inputs,
            outputs: first.outputs
        ).scheme.valueType
    }

    // MARK: Run

    /// Quantizes what is not quantized yet, and writes the output folder.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws; then the work folder
    ///   holds all finished layers.
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> QuantizeReport {
        if plan.options.startsAnew { try work.clear() }
        try FileSystem.createFolder(work.path)
        try FileSystem.createFolder(work.outTensors)
        if case .layer(let first) = progress {
            LinearAlgebra.useThreads(backend.threads)
            let reserved = try LedgerEntry(
                plan.linearAlgebraBytes(on: backend), ledger: backend.ledger, purpose: .workspace)
            try quantize(from: first, monitor)
            withExtendedLifetime(reserved) {}
            try note(.compile)
        }
        if progress == .compile || !isWritten { try EXL2FolderWriter(self).write(monitor) }
        try note(.finished)
        try work.removeStates(except: nil)
        return report
    }

    /// Whether the output of a finished job is still there.
    private var isWritten: Bool {
        guard let found = try? CheckpointFolder.open(output) else { return false }
        let hasConfig = FileSystem.exists(FileSystem.join(output, "config.json"))
        return found.find(folder.description.headName + ".q_weight") != nil
            && (hasConfig || !writesFolder)
    }

    private func quantize(from first: Int, _ monitor: ConversionMonitor) throws {
        try backend.reserveScratch(
            plan.scratchBytes(
                stored: try storedType(), length: calibration.longest, on: backend))
        let stage = try CalibrationStage(self)
        if first == 0 {
            try stage.embed()
            try work.saveStates(stage.states, layer: 0)
            try note(.layer(0))
        } else {
            try work.loadStates(into: stage.states, layer: first)
        }
        var done = report.linears.reduce(0) { $0 + $1.inputs * $1.outputs }
        for layer in first..<max(folder.description.layers, first) {
            let (linears, error) = try stage.quantizeLayer(layer) { item, weights in
                done += weights
                try monitor.step(item, done: done, total: plan.weightCount)
            }
            report.linears += linears
            report.layerErrors.append(error)
            try work.saveStates(stage.states, layer: layer + 1)
            try note(.layer(layer + 1))
            try work.removeStates(except: layer + 1)
            // Small buffers of all sizes came and went; without this the heap grows from layer to layer.
            Heap.giveBack()
        }
        let (head, perplexity) = try stage.quantizeHead { item, weights in
            done += weights
            try monitor.step(item, done: done, total: plan.weightCount)
        }
        report.linears.append(head)
        report.calibrationPerplexity = perplexity
    }

    private func note(_ progress: WorkFolder.Progress) throws {
        self.progress = progress
        try work.save(progress, report, settings.merging(fingerprint))
    }

    // MARK: Identity

    private static func settings(
        input: String, output: String?, calibration: CalibrationRows, options: QuantizeOptions
    ) -> ConfigObject {
        var job = ConfigObject()
        job["in_dir"] = ConfigNode(.string(input))
        job["cal_dataset"] = ConfigNode(.string(calibration.name))
        job["cal_path"] = calibration.path.map { ConfigNode($0) } ?? .null
        job["bits"] = ConfigNode(.integer(options.bits))
        job["dataset_rows"] = ConfigNode(.integer(calibration.rows.count))
        job["length"] = ConfigNode(.integer(calibration.longest))
        job["head_bits"] = ConfigNode(.integer(options.headBits))
        job["shard_size"] = ConfigNode(
            options.maxShardBytes == .max ? 0 : options.maxShardBytes >> 20)
        job["rope_scale"] = options.ropeScale.map { ConfigNode($0) } ?? .null
        job["rope_alpha"] = options.ropeAlpha.map { ConfigNode($0) } ?? .null
        job["compile_full"] = output.map { ConfigNode(.string($0)) } ?? ConfigNode(.null)
        return job
    }

    /// A digest of model, calibration and options; of weights, the first bytes of each tensor.
    private static func fingerprint(
        _ folder: ModelFolder, _ checkpoint: any CheckpointReader, _ calibration: CalibrationRows,
        _ options: QuantizeOptions
    ) throws -> String {
        var digest = Fingerprint()
        digest.add("1 \(options.bits) \(options.headBits)")
        if options.ropeScale != nil || options.ropeAlpha != nil {
            digest.add("\(options.ropeScale ?? 1) \(options.ropeAlpha ?? 1)")
        }
        digest.add(try FileSystem.read(FileSystem.join(folder.path, "config.json")))
        for row in calibration.rows {
            digest.add(String(row.count))
            digest.add(
                row.lazy.flatMap {
                    [
                        UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8),
                        UInt8(truncatingIfNeeded: $0 >> 16),
                    ]
                })
        }
        var start = [UInt8](repeating: 0, count: 64)
        for tensor in checkpoint.tensors {
            digest.add("\(tensor.name) \(tensor.dtype.rawValue) \(tensor.shape)")
            let count = min(start.count, tensor.byteCount)
            try start.withUnsafeMutableBytes {
                try checkpoint.read(
                    tensor.name, bytes: 0..<count,
                    into: UnsafeMutableRawBufferPointer(rebasing: $0[..<count]))
            }
            digest.add(start.prefix(count))
        }
        return digest.text
    }
}

extension ConfigObject {
    /// The settings with the digest of what they stand for.
    fileprivate func merging(_ fingerprint: String) -> ConfigObject {
        var object = self
        object["fingerprint"] = ConfigNode(.string(fingerprint))
        return object
    }
}
