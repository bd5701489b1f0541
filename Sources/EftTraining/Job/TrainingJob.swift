// SPDX-License-Identifier: Apache-2.0
// A whole training run, from a configuration to files.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTokenizers

/// A training run: prepared by `init`, which loads no weights, and made by `run`.
package final class TrainingJob {
    /// The configuration.
    package let config: AxolotlConfig
    /// The devices, whose ledgers bound the run.
    package let devices: [CPUBackend]
    /// The base model.
    package let base: BaseModel
    /// The examples, with what shows them.
    package let examples: PreparedExamples
    /// The examples.
    package var data: TrainingData { examples.data }
    /// What the run will hold, and how its passes go.
    package let plan: TrainingPlan
    /// Bytes of the program itself and of the data, which the first device's budget holds besides.
    package let programBytes: Int
    /// What streams them; nil when all stand in memory.
    package let streaming: StreamedBase?
    /// Steps of the run.
    package let totalSteps: Int
    /// Lines for the user.
    package var notices: [String] {
        base.notices + (adapter?.notices ?? []) + examples.notices
    }
    private let adapter: AdapterTargets?
    private let completions: CompletionFactory?
    /// The checkpoint to go on from.
    package let resumeFolder: String?

    /// What happens while a run is made.
    package enum Event: Sendable {
        /// So many of the layers to stream are written in the form in which they are streamed.
        case repacking(done: Int, total: Int)
        /// So many layers of the base are loaded.
        case loading(done: Int, total: Int)
        /// The loop goes on from a checkpoint after so many steps.
        case resumed(step: Int)
        /// Something happened in the loop.
        case training(TrainingEvent)
    }

    /// What a run came to.
    package struct Summary: Sendable, Hashable {
        /// Steps of the run.
        package var steps = 0
        /// The loss of the last step made; nil when none was left to make.
        package var loss: Double?
        /// The last loss of the validation set; nil without one.
        package var evaluationLoss: Double?
        /// Tokens that went through the model in training.
        package var tokens = 0
        /// Seconds of all steps.
        package var seconds = 0.0
        /// The highest totals of the ledgers, added up.
        package var peakBytes = 0
        /// What streaming the base came to; nil when all layers stand in memory.
        package var streaming: StreamStatistics?
        /// Prompts of the data with answers before and after, where they are asked for.
        package var samples: [AnswerSample] = []
        /// The folder with the results.
        package var outputDir = ""
    }

    /// Opens the model, reads the data, and checks that the run fits.
    /// - Parameters:
    ///   - devices: one or several, over one pool of workers.
    ///   - weightLimits: most bytes of weights for each device; its whole room when nil.
    ///   - program: what the program itself holds, and the part that comes only after loading. The ledger's limit leaves the
    ///     rest out.
    ///   - dataBytes: what the program holds beyond that, once the data is read, with so many linear layers and tokens of a
    ///     micro-batch, and the part of it that comes only after loading; asked then. The choice of layers that stay in memory
    ///     leaves room for it.
    ///   - caches: the folder below which layers are kept that do not fit; `CacheFolder.standard()` when nil.
    ///   - completions: makes what completes prompts, in a run that learns from rewards or answers prompts.
    ///   - shouldStop: asked now and then; when it says yes, `TrainingError` (`interrupted`) is thrown.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`, `TokenizerError`, `TrainingError`, and `TensorError`
    ///   (`outOfBudget`) when it does not fit.
    package init(
        _ config: AxolotlConfig, devices: [CPUBackend], weightLimits: [Int]? = nil,
        program: (bytes: Int, later: Int) = (0, 0),
        dataBytes: (_ weights: Int, _ rows: Int) -> (bytes: Int, later: Int) = { _, _ in (0, 0) },
        caches: String? = nil,
        completions: CompletionFactory? = nil, shouldStop: () -> Bool = { false }
    ) throws {
        self.config = config
        self.completions = completions
        self.devices = devices
        base = try BaseModel(config)
        let description = base.folder.description
        var adapter = try config.adapter.map {
            try AdapterTargets($0, description: description, baseModel: config.model.recordedBase)
        }
        try TrainingJob.requireReference(config, base)
        try TrainingJob.requireStart(
            adapter, base, restarts: config.training.adapterRestarts != nil)
        // What does not fit with a single short example is refused before the data is read.
        let least = ExampleLengths(train: [2])
        let backend = devices[0]
        var room = TrainingRoom(
            limits: devices.map(\.ledger.limit), weightLimits: weightLimits,
            laterProgramBytes: program.later)
        if room.limits[0] != .max { room.limits[0] = max(0, room.limits[0] - program.later) }
        try TrainingJob.requireFit(
            TrainingJob.plan(base, config: config, lengths: least, backend: backend, room: room)
                .placed,
            base, config: config, lengths: least, room: room, programBytes: program.bytes,
            backend: backend)
        resumeFolder = try TrainingJob.resumeFolder(config)
        var reading = config
        if room.limits[0] != .max { reading.data.memoryLimit = room.limits[0] + program.bytes }
        examples = try PreparedExamples(
            reading, base.vocabulary, shouldStop: shouldStop)
        let data = examples.data
        let lengths = data.lengths
        // A rounded copy of a weight has buffers of its own.
        let copies = config.training.quantizationAware == nil ? 1 : 2
        let rows = lengths.longest.multipliedReportingOverflow(by: config.training.microBatchSize)
        let packed = config.training.samplePacking ? config.training.sequenceLen : 0
        let held = dataBytes(
            copies * description.linearCount,
            rows.overflow ? .max : max(packed, rows.partialValue))
        if room.limits[0] != .max { room.limits[0] -= held.bytes }
        room.laterProgramBytes += held.later
        plan = try TrainingJob.plan(
            base, config: config, lengths: lengths, backend: backend, room: room)
        try TrainingJob.requireFit(
            plan.placed, base, config: config, lengths: lengths, room: room,
            programBytes: program.bytes + held.bytes, backend: backend)
        programBytes = program.bytes + held.bytes
        streaming = try base.streaming(plan.placed.placement, caches: caches)
        totalSteps = try BatchPlan(lengths: lengths.train, settings: config.training).steps.count
        adapter?.restarts = config.training.adapterRestarts?.count(steps: totalSteps) ?? 0
        self.adapter = adapter
    }

    /// - Throws: `TrainingError` (`configuration`) for a run that compares with the model without its adapter in each step, and
    ///   trains that too.
    private static func requireReference(_ config: AxolotlConfig, _ base: BaseModel) throws {
        guard (config.training.rollouts?.beta ?? 0) > 0, config.adapter != nil,
            !base.options.trained.isEmpty || !base.trainedTokens.isEmpty
        else { return }
        throw TrainingError(
            .configuration,
            "grpo with trl.beta compares with the model without its adapter in each step, so that nothing else can be trained; "
                + "remove new tokens, peft_trainable_token_indices and lora_modules_to_save")
    }

    /// - Throws: `TrainingError` (`configuration`) for an adapter that begins from weights which the base does not have in plain
    ///   numbers, or not in another form than training holds them in.
    private static func requireStart(
        _ adapter: AdapterTargets?, _ base: BaseModel, restarts: Bool
    ) throws {
        guard let adapter else { return }
        let embedding = base.folder.description.embeddingName
        guard !restarts || adapter.layers[embedding] == nil else {
            throw TrainingError(
                .configuration,
                "relora does not go with an adapter on \(embedding); leave it out of lora_target_modules"
            )
        }
        guard !restarts || adapter.stacked.isEmpty else {
            throw TrainingError(
                .configuration,
                "relora does not go with lora_target_parameters; name linear layers in lora_target_modules"
            )
        }
        guard adapter.layers[embedding] == nil || base.trainedTokens.isEmpty else {
            throw TrainingError(
                .configuration,
                "the rows of new tokens are trained alone, or an adapter on \(embedding); leave it out of "
                    + "lora_target_modules, or name both modules in lora_modules_to_save")
        }
        guard adapter.initialization.readsWeights else { return }
        let words = "peft_init_lora_weights (or peft.loftq_config)"
        guard try base.folder.isDense() else {
            throw TrainingError(
                .configuration, "\(words) begins from the base's weights; give the 16-bit base")
        }
        let head = base.folder.description.headName
        guard adapter.initialization != .loftq || adapter.layers[head] == nil else {
            throw TrainingError(
                .configuration,
                "\(words) asks for what NF4 leaves of \(head), which is never held so; leave it out of "
                    + "lora_target_modules")
        }
    }

    static func resumeFolder(_ config: AxolotlConfig) throws -> String? {
        switch config.resume {
        case .never: return nil
        case .folder(let folder):
            _ = try TrainingCheckpoint.readWhole(folder)
            return folder
        case .newest(let required):
            let newest = TrainingCheckpoint.list(config.training.outputDir).last {
                (try? TrainingCheckpoint.read($0.folder))?.isWhole ?? true
            }
            guard newest != nil || !required else {
                throw TrainingError(
                    .checkpoint,
                    "\(config.training.outputDir) holds no checkpoint to resume from; remove "
                        + "resume_from_checkpoint to start anew")
            }
            return newest?.folder
        }
    }

    // MARK: Running

    /// Loads the model, trains, and writes the results.
    /// - Parameters:
    ///   - onEvent: told what happens; what it throws ends the run.
    ///   - shouldStop: asked between micro-batches and layers; when it says yes, the last whole step is saved and
    ///     `TrainingError` (`interrupted`) thrown.
    package func run(
        onEvent: (Event) throws -> Void, shouldStop: () -> Bool = { false }
    ) throws -> Summary {
        try keepExamples(onEvent)
        let recorder = RunRecorder(config)
        let summary: Summary
        do { summary = try train(recorder, onEvent, shouldStop) } catch {
            // Whoever reads the log of a run that ended early sees all of its steps.
            try? recorder.writeSteps()
            throw error
        }
        try recorder.end(summary)
        let facts = RunFacts(
            config: config, adapter: adapter?.config, isFresh: base.isFresh, examples: examples,
            curves: recorder.curves, summary: summary,
            memory: (ResidentMemory.peak, plan.placed.total.total + programBytes))
        for line in RunRecords.write(facts) { try onEvent(.training(.notice(line))) }
        return summary
    }

    /// Writes the examples where the configuration keeps them; a run does not end because that fails.
    private func keepExamples(_ onEvent: (Event) throws -> Void) throws {
        let line: String
        do {
            guard let folder = try examples.keep() else { return }
            line = "prepared data is written for later runs: \(folder)"
        } catch { line = "the prepared data is not kept: \(error)" }
        try onEvent(.training(.notice(line)))
    }

    /// The name of the report in the output folder.
    package static let reportName = RunReport.name

    /// Makes the run itself; what it holds is gone when it returns.
    private func train(
        _ recorder: RunRecorder, _ onEvent: (Event) throws -> Void, _ shouldStop: () -> Bool
    ) throws -> Summary {
        var settings = config.training
        settings.padID = examples.padID
        try FileSystem.createFolder(settings.outputDir)
        try requireDisk(settings.outputDir)
        try AtomicFile.write(
            FileSystem.join(settings.outputDir, AdapterBase.configName),
            YAMLWriter.text(ConfigSecrets.removed(from: config.document.node)))
        let decoder = try load(onEvent, shouldStop)
        let kept = try keptByLibrary()
        defer { withExtendedLifetime(kept) {} }
        let attached = try attach(to: decoder, onEvent, shouldStop)
        try decoder.makeTrainable(base.options.trained)
        try decoder.makeTrainable(base.trainedTokens)
        decoder.freezeRows(beside: base.trainedRows)
        if let rounding = settings.quantizationAware?.rounding {
            try decoder.makeFakeQuantized(rounding)
        }
        let slots = attached?.slots ?? []
        let answers = try answers(decoder, slots)
        let trainer = try Trainer(
            decoder: decoder, settings: settings,
            objective: objective(decoder, settings, slots),
            restarts: restarts(decoder, attached), answers: answers, lengths: data.lengths,
            joined: plan.joined, fingerprint: fingerprint,
            output: TrainingOutput(
                config: config, base: base, padID: examples.padID, decoder: decoder,
                backend: devices[0],
                adapter: adapter.flatMap { adapter in attached.map { ($0, adapter.config) } }
            ).output)
        try trainer.prepare(
            onEvent: { try onEvent(.training($0)) }, shouldStop: shouldStop)
        let before =
            resumeFolder == nil ? try trainer.answers(shouldStop) : nil
        if let resumeFolder {
            try trainer.resume(from: resumeFolder)
            try onEvent(.resumed(step: trainer.stepsDone))
        }
        try recorder.begin(stepsDone: trainer.stepsDone)
        var summary = Summary()
        try trainer.run(
            onEvent: { event in
                try recorder.note(event)
                summary.add(event)
                try onEvent(.training(event))
            }, shouldStop: shouldStop)
        try recorder.writeSteps()
        if let answers, let after = try trainer.answers(shouldStop) {
            summary.samples = try answers.samples(before: before, after: after)
        }
        summary.steps = trainer.stepsDone
        summary.peakBytes = devices.reduce(0) { $0 + $1.ledger.peakTotal }
        summary.streaming = decoder.streamStatistics
        summary.outputDir = settings.outputDir
        return summary
    }

    /// What answers prompts of the data; nil in a run that does not.
    /// - Throws: `TrainingError` (`configuration`) where nothing completes prompts; `TensorError` when it does not fit.
    private func answers(_ decoder: Decoder, _ slots: [Int]) throws -> AnswerSampler? {
        guard let settings = config.training.answers else { return nil }
        guard let completions else {
            throw TrainingError(.configuration, "nothing here answers prompts of the data")
        }
        let sampling = CompletionSampling(
            need: settings.need(longest: data.lengths.longest, kvType: config.kvType),
            slots: slots, endTokens: examples.endIDs)
        return AnswerSampler(
            settings, source: try completions(decoder, sampling), examples: examples,
            seed: mixedSeed(config.training.seed, 7))
    }

    /// What lets the adapter begin anew; nil in a run in which it does not.
    private func restarts(_ decoder: Decoder, _ attached: AttachedAdapter?) -> AdapterRestarts? {
        guard let settings = config.training.adapterRestarts, let attached else { return nil }
        return AdapterRestarts(
            decoder, attached, settings, seed: mixedSeed(config.training.seed, 6))
    }

    /// What the run minimizes.
    /// - Throws: `TrainingError` (`configuration`) for a run that learns from rewards where nothing completes prompts; what starting
    ///   the commands throws.
    private func objective(
        _ decoder: Decoder, _ settings: TrainingSettings, _ slots: [Int]
    ) throws -> any TrainingObjective {
        guard let rollouts = settings.rollouts else {
            return Trainer.objective(settings, data.train, data.validation, slots)
        }
        guard let completions else {
            throw TrainingError(.configuration, "nothing here completes prompts for grpo")
        }
        let sampling = CompletionSampling(
            need: rollouts.need(
                data.lengths, settings, kvType: config.kvType,
                sharesPages: base.folder.description.states(sequences: 1) == nil), slots: slots,
            endTokens: examples.endIDs)
        let tools = RolloutTools(
            source: try completions(decoder, sampling),
            rewards: try rollouts.rewardCommands.map {
                try RewardCommand($0, timeout: rollouts.rewardTimeout)
            }, text: examples.answer)
        return RolloutObjective(
            rollouts, train: data.train, validation: data.validation, slots: slots,
            seed: settings.seed, microBatchSize: settings.microBatchSize,
            embeddingNoise: Float(settings.embeddingNoise), tools: tools)
    }

    /// What the linear-algebra library keeps once an adapter has begun from the base's weights.
    private func keptByLibrary() throws(TensorError) -> LedgerEntry? {
        guard let adapter, resumeFolder == nil else { return nil }
        let bytes = adapter.startingBytes(base.folder.description, threads: devices[0].threads).kept
        return bytes == 0
            ? nil : try LedgerEntry(bytes, ledger: devices[0].ledger, purpose: .workspace)
    }

    /// Puts the adapter on the base; nil when all weights are trained.
    private func attach(
        to decoder: Decoder, _ onEvent: (Event) throws -> Void, _ shouldStop: () -> Bool
    ) throws -> AttachedAdapter? {
        guard let adapter else { return nil }
        let seed = mixedSeed(config.training.seed, 2)
        if adapter.initialization.readsWeights, resumeFolder == nil {
            LinearAlgebra.useThreads(devices[0].threads)
            try onEvent(
                .training(
                    .notice("the adapter begins from the weights of the base, layer by layer"))
            )
        }
        return try adapter.attach(
            to: decoder, seed: seed,
            start: AdapterStart(
                initialization: adapter.initialization, folder: base.folder, seed: seed),
            resumed: resumeFolder, shouldStop: shouldStop)
    }

    /// Bytes of temporary files: kept inputs of layers, and paged state of the optimizer.
    package var temporaryBytes: Int {
        get throws {
            let optimizer = config.training.optimizer
            guard optimizer.isPaged else { return plan.spilledBytes }
            let extents = adapter?.extents(base.folder.description, base.trainedTokens)
            let shapes = try base.trainedShapes(extents, for: optimizer)
            return plan.spilledBytes + (try optimizer.stateBytes(shapes))
        }
    }

    /// - Throws: `FormatError` (`io`) when the disk has too little room for temporary files.
    private func requireDisk(_ folder: String) throws {
        let needed = try temporaryBytes
        guard needed > 0, let free = FileSystem.freeBytes(folder), free < needed else { return }
        throw FormatError(
            .io,
            "temporary files of the run take \(formatBytes(needed)), \(formatBytes(free)) are free here; make room, "
                + "or keep inputs and the optimizer's state in memory (gradient_checkpointing: true, adamw_torch)",
            path: folder)
    }

    private func load(
        _ onEvent: (Event) throws -> Void, _ shouldStop: () -> Bool
    ) throws -> Decoder {
        func report(_ event: Event) throws {
            if shouldStop() {
                throw TrainingError(.interrupted, "interrupted while loading; nothing to save")
            }
            try onEvent(event)
        }
        try streaming?.cache.fill(plan.placed.placement, devices: devices) {
            try report(.repacking(done: $0, total: $1))
        }
        return try base.load(
            devices: devices, parts: plan.placed.placement.parts, seed: config.training.seed,
            streaming: streaming
        ) { try report(.loading(done: $0, total: $1)) }
    }

    /// A hash of the examples and of what decides their order and the trained parameters.
    private var fingerprint: String {
        var hash = mixedSeed(
            config.training.seed, UInt64(config.training.microBatchSize),
            UInt64(config.training.gradientAccumulationSteps),
            config.training.samplePacking ? UInt64(config.training.sequenceLen) : 0)
        func add(_ values: [Int32]) {
            hash = mixedSeed(hash, UInt64(values.count))
            for value in values {
                hash = (hash ^ UInt64(UInt32(bitPattern: value))) &* 0x100_0000_01B3
            }
        }
        func add(_ text: String) {
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        for example in data.train {
            add(example.tokens)
            add(example.labels)
            switch example.preference {
            case .over(let tokens, let labels)?:
                add(tokens)
                add(labels)
            case .desirable(let isGood)?: add([isGood ? 1 : 0])
            case nil: break
            }
        }
        if let preferences = config.training.preferences { add("\(preferences)") }
        if var rollouts = config.training.rollouts {
            rollouts.rewardTimeout = 0
            add("\(rollouts)")
            for example in data.train { add(example.row ?? "") }
        }
        if let scoring = config.training.scoring {
            add("\(scoring) \(examples.padID.map(String.init) ?? "")")
        }
        if config.training.groupsByLength { add("group_by_length") }
        if let sampling = config.training.layerSampling { add("\(sampling)") }
        if let rounding = config.training.quantizationAware { add("\(rounding)") }
        let kind = adapter.map { adapter in
            // The base's path may differ from machine to machine.
            var settings = adapter.config
            settings.baseModel = ""
            return settings.json
        }
        add(kind ?? "full")
        if let restarts = config.training.jaggedRestarts { add("\(restarts)") }
        if let restarts = config.training.adapterRestarts { add("\(restarts)") }
        if let adapter, adapter.initialization.readsWeights { add("\(adapter.initialization)") }
        if !base.trainedTokens.isEmpty { add("\(base.trainedTokens)") }
        if let unfrozen = config.unfrozen { add("\(unfrozen)") }
        return String(mixedSeed(hash), radix: 16)
    }
}

extension TrainingJob.Summary {
    fileprivate mutating func add(_ event: TrainingEvent) {
        switch event {
        case .step(let report):
            loss = report.loss
            tokens += report.tokens
            seconds += report.seconds
        case .evaluation(let report): evaluationLoss = report.loss
        case .saved, .reference, .notice: break
        }
    }

    /// The summary as an object for machines.
    package var entries: ConfigObject {
        [
            "output": ConfigNode(outputDir), "steps": ConfigNode(steps),
            "loss": loss.map { ConfigNode($0) } ?? .null,
            "eval_loss": evaluationLoss.map { ConfigNode($0) } ?? .null,
            "tokens": ConfigNode(tokens), "seconds": ConfigNode(seconds),
            "tokens_per_second": ConfigNode(seconds > 0 ? Double(tokens) / seconds : 0),
            "peak_ledger": ConfigNode(peakBytes),
        ]
    }
}
