// SPDX-License-Identifier: Apache-2.0
// A model folder to EXL2 or GPTQ: measured, then quantized layer by layer, resumable at the last finished layer.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Quantizes a model with GPTQ, at widths that are chosen by measurement or at one width.
///
/// Measuring, each layer runs once with its own weights, and each of its linear layers is quantized at several widths to
/// see what that costs; then the budget of bits is spent on the mix that costs least. Quantizing, all rows come to each group of
/// linear layers that share inputs, through what is quantized so far; that gives the Hessian of these inputs, for which the
/// linear layers are quantized before the rows go on. (ExLlamaV2's recipe runs each layer twice: unquantized for all its
/// Hessians, and quantized.) One layer's weights are in memory at a time; the rows' states are on the disk.
package final class QuantizeJob {
    let folder: ModelFolder
    let output: String
    /// Whether config.json and other files go to the output too.
    let writesFolder: Bool
    private(set) var plan: QuantizePlan
    let calibration: CalibrationRows
    /// The rows with which the model is measured.
    let measurementRows: CalibrationRows
    let backend: CPUBackend
    let checkpoint: any CheckpointReader
    let work: WorkFolder
    /// What folding in an adapter takes.
    private let folding: FoldingNeed
    private var state: SavedJob
    private let settings: ConfigObject

    /// What became of the layers so far.
    var report: QuantizeReport { state.report }

    /// Layers that were finished by an earlier run.
    package let resumedLayers: Int

    /// Opens and checks everything; writes nothing.
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
            try OutputFolder.requireNoOtherWeights(output, stem: options.form.fileStem)
        }
        let folder = try ModelFolder.open(input)
            .adapted(by: options.adapter.map { [$0] } ?? [])
            .stretchingRotary(scale: options.ropeScale, alpha: options.ropeAlpha)
        guard let checkpoint = folder.checkpoint else {
            throw ConversionError(.usage, "the folder has no weights", path: input)
        }
        self.folder = folder
        let merged = try options.adapter.map { adapter in
            try OutputFolder.requireApart(work, from: [adapter])
            return try MergedCheckpoint(base: folder, adapter: adapter, backend: backend)
        }
        folding = merged?.need ?? FoldingNeed()
        self.checkpoint = merged ?? checkpoint
        var plan = try QuantizePlan(folder.description, options)
        self.calibration = calibration
        measurementRows = calibration.selecting(
            options.measurementRows, length: options.measurementLength,
            spread: options.recipe == .eft && options.form == .exl2)
        self.backend = backend
        self.output = output ?? work
        writesFolder = output != nil
        self.work = WorkFolder(path: work)
        try QuantizeJob.check(folder, self.checkpoint, calibration)
        let measurement = try options.measurement.map { try Measurement(file: $0) }
        let identity = JobFingerprint(
            folder: folder, checkpoint: self.checkpoint, calibration: calibration, options: options,
            measurement: measurement)
        let fingerprint = try identity.text()
        settings = identity.settings(input: input, output: output, fingerprint: fingerprint)
        var state = SavedJob(QuantizeJob.beginning(options))
        // An earlier job is thrown away when the work begins, not when it is planned.
        if !options.startsAnew, let saved = try self.work.resume(fingerprint: fingerprint) {
            state = saved
        } else if let measurement {
            let chosen = try plan.choice(measurement, file: options.measurement, on: backend)
            state.strategy = plan.strategy(chosen)
        }
        if !state.strategy.isEmpty { try plan.choose(state.strategy, job: work) }
        self.plan = plan
        self.state = state
        resumedLayers = try QuantizeJob.finishedLayers(state.progress, plan, work)
    }

    private static func beginning(_ options: QuantizeOptions) -> WorkFolder.Progress {
        guard options.measures else { return .layer(0) }
        return options.recipe == .eft ? .sensitivity : .measure(0)
    }

    private static func finishedLayers(
        _ progress: WorkFolder.Progress, _ plan: QuantizePlan, _ work: String
    ) throws(ConversionError) -> Int {
        let layers = plan.description.layers
        switch progress {
        case .sensitivity: return 0
        case .compile, .finished: return layers
        case .measure(let layer), .layer(let layer):
            guard layer >= 0, layer <= layers else {
                throw ConversionError(
                    .damaged,
                    "the job counts \(layer) finished layers of \(layers); start anew with -nr",
                    path: work)
            }
            if case .measure = progress { return 0 }
            guard plan.hasWidths else {
                throw ConversionError(
                    .damaged, "the job has no mix of widths; start anew with -nr", path: work)
            }
            return layer
        }
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

    /// Most bytes of rows on their way in the work folder, for so many tokens of calibration: the states before and behind a layer,
    /// and what waits within it.
    package static func stateBytes(
        _ description: DecoderDescription, options: QuantizeOptions, tokens: Int
    ) -> Int {
        let chains = options.compensates ? 2 : 1
        let paused =
            options.pauses ? PausedRows.byteCount(description, tokens: tokens) : 0
        return chains * (2 * tokens * description.shape.hidden * 4 + paused)
    }

    /// Most bytes that this job takes, by purpose.
    package func memory() throws -> MemoryTable {
        plan.memory(
            stored: try storedType(), tokens: calibration.tokenCount, folding: folding, on: backend)
    }

    private func storedType() throws -> DType {
        let first = folder.description.linear(.output, layer: 0)
        return try LinearSource(
            module: first.name, checkpoint: checkpoint, inputs: first.inputs,
            outputs: first.outputs
        ).scheme.valueType
    }

    // MARK: Run

    /// Measures and quantizes what is not done yet, and writes the output folder.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws; then the work folder
    ///   holds all finished layers.
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> QuantizeReport {
        try FileSystem.createFolder(work.path)
        let lock = try FolderLock(work.path)
        defer { withExtendedLifetime(lock) {} }
        if plan.options.startsAnew { try work.clear() }
        try FileSystem.createFolder(work.outTensors)
        try computeLayers(monitor)
        if plan.options.measurementOutput != nil { return report }
        if state.progress == .compile || !isWritten {
            try QuantizedFolderWriter(self).write(monitor)
        }
        try note(.finished)
        for stem in [
            CalibrationStage.stem, CalibrationStage.referenceStem, EmbeddingStage.stem,
        ] {
            try work.removeStates(prefix: stem, except: nil)
        }
        return report
    }

    /// All that needs linear algebra: measuring, and quantizing.
    private func computeLayers(_ monitor: ConversionMonitor) throws {
        switch state.progress {
        case .compile, .finished: return
        case .sensitivity, .measure, .layer: break
        }
        try backend.reserveScratch(
            plan.scratchBytes(
                stored: try storedType(), length: calibration.longest, on: backend))
        let progress = JobProgress(plan, report, monitor)
        if state.progress == .sensitivity { try findSensitivities(progress) }
        if case .measure(let first) = state.progress { try measure(from: first, progress) }
        if case .layer(let first) = state.progress, plan.options.measurementOutput == nil {
            try quantize(from: first, progress)
            try note(.compile)
        }
    }

    /// Whether the output of a finished job is still there.
    private var isWritten: Bool {
        guard let found = try? CheckpointFolder.open(output) else { return false }
        let hasConfig = FileSystem.exists(FileSystem.join(output, "config.json"))
        return found.find(plan.lastTensor) != nil && (hasConfig || !writesFolder)
    }

    private func findSensitivities(_ progress: JobProgress) throws {
        try Sensitivity(self, rows: measurementRows).run { try progress.tell($0) }
        try note(.measure(0))
    }

    private func measure(from first: Int, _ progress: JobProgress) throws {
        let layers = folder.description.layers
        if first < layers {
            let stage = try MeasurementStage(self, rows: measurementRows)
            var measurement = Measurement()
            if first == 0 {
                try stage.embed(measurementRows)
            } else {
                measurement = try Measurement(file: work.measurement)
            }
            for layer in first..<layers {
                for (key, options) in try stage.measure(layer: layer, advance: progress.measured) {
                    measurement.add(key, options)
                }
                try measurement.write(to: work.measurement)
                try note(.measure(layer + 1))
                try work.removeStates(prefix: MeasurementStage.stem, except: layer + 1)
                Heap.giveBack()
            }
        }
        try work.removeStates(prefix: MeasurementStage.stem, except: nil)
        let measurement = try Measurement(file: work.measurement)
        if let file = plan.options.measurementOutput {
            // Noted as measured: without -om the job goes on from here.
            return try measurement.write(to: file)
        }
        let chosen = try plan.choice(measurement, file: work.measurement, on: backend)
        state.strategy = plan.strategy(chosen)
        try plan.choose(state.strategy, job: work.path)
        try note(.layer(0))
    }

    private func quantize(from first: Int, _ progress: JobProgress) throws {
        if first == 0, plan.embedding != nil {
            state.report.linears = [try EmbeddingStage(self).quantize(advance: progress.quantized)]
            Heap.giveBack()
        }
        let stage = try CalibrationStage(self)
        if first == 0 { try stage.embed() }
        let known = state.report.rareExperts
        for layer in first..<max(folder.description.layers, first) {
            let (linears, error) = try stage.quantizeLayer(layer, advance: progress.quantized)
            state.report.linears += linears
            state.report.layerErrors.append(error)
            state.report.rareExperts = known + stage.rareExperts
            try note(.layer(layer + 1))
            for stem in [CalibrationStage.stem, CalibrationStage.referenceStem] {
                try work.removeStates(prefix: stem, except: layer + 1)
            }
            // Small buffers of all sizes came and went; without this the heap grows from layer to layer.
            Heap.giveBack()
        }
        let (head, perplexity) = try stage.quantizeHead(advance: progress.quantized)
        if let head { state.report.linears.append(head) }
        state.report.calibrationPerplexity = perplexity
    }

    private func note(_ progress: WorkFolder.Progress) throws {
        state.progress = progress
        try work.save(state, settings)
    }
}

/// Counts the weights that a job goes through, those that are measured as often as they are quantized on the way.
private final class JobProgress {
    /// Candidates of a linear layer, about.
    private static let measurements = 12

    private let monitor: ConversionMonitor
    private let total: Int
    private var done: Int

    init(_ plan: QuantizePlan, _ report: QuantizeReport, _ monitor: ConversionMonitor) {
        self.monitor = monitor
        let measured = plan.options.measures ? JobProgress.measurements * plan.layerWeights : 0
        total = measured + (plan.options.measurementOutput == nil ? plan.weightCount : 0)
        let quantized = report.linears.reduce(0) { $0 + $1.inputs * $1.outputs }
        done = quantized + (plan.hasWidths ? measured : 0)
    }

    func tell(_ item: String) throws { try monitor.step(item, done: done, total: total) }

    func measured(_ item: String, _ weights: Int) throws {
        done += JobProgress.measurements * weights
        try tell(item)
    }

    func quantized(_ item: String, _ weights: Int) throws {
        done += weights
        try tell(item)
    }
}
