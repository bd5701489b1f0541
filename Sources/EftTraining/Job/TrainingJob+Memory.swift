// SPDX-License-Identifier: Apache-2.0
// What a training run will hold, stated before anything is loaded.
import EftModels
import EftNN
import EftTensor

/// Tokens of the examples of a run.
package struct ExampleLengths: Sendable, Hashable {
    /// Of each example to train on.
    package var train: [Int]
    /// Of each example to evaluate on.
    package var validation: [Int]

    /// Takes lengths.
    package init(train: [Int], validation: [Int] = []) {
        self.train = train
        self.validation = validation
    }

    /// The most tokens of an example.
    var longest: Int { max(train.max() ?? 1, validation.max() ?? 1) }
}

/// What a run will hold on each device, and how its passes go.
package struct TrainingPlan: Sendable, Hashable {
    /// Where the weights of the base stand, and peak bytes of each device by purpose.
    package var placed: PlacedMemory
    /// Micro-batches that one pass over the weights serves.
    package var joined: Int
    /// Bytes of kept inputs in a temporary file.
    package var spilledBytes: Int
}

/// A manual division of devices, and what each may hold.
package struct TrainingRoom: Sendable, Hashable {
    /// Bytes that each device may hold, the program itself left out.
    package var limits: [Int]
    /// Most bytes of weights for each device; its whole room when nil.
    package var weightLimits: [Int]?
    /// Bytes of the program, which `limits` leave out, that come only once the base is loaded.
    package var laterProgramBytes: Int

    /// States room.
    package init(limits: [Int], weightLimits: [Int]? = nil, laterProgramBytes: Int = 0) {
        self.limits = limits
        self.weightLimits = weightLimits
        self.laterProgramBytes = laterProgramBytes
    }
}

extension TrainingJob {
    /// States what a run will hold on each device, the program itself left out, and where the weights of its base stand.
    ///
    /// The workspace row holds what is temporary: scratch memory of products, of loading and of saving; the latter two
    /// only as far as they pass what the rest takes at another time. The totals are what the ledgers' peaks will be.
    /// - Parameters:
    ///   - lengths: of the examples; when nil, every row is taken to be as long as allowed.
    ///   - room: bytes that may be held; layers of an adapter's base are streamed when they do not fit.
    package static func plan(
        _ base: BaseModel, config: AxolotlConfig, lengths: ExampleLengths? = nil,
        backend: any Backend, room: TrainingRoom
    ) throws -> TrainingPlan {
        let description = base.folder.description
        let layouts = try base.layouts()
        var targets = try config.adapter.map {
            try AdapterTargets($0, description: description, baseModel: config.model.recordedBase)
        }
        targets?.restarts = try restarts(config.training, lengths)
        let adapter = targets?.extents(description, base.trainedTokens)
        var task = PlacementTask(
            description: description, layouts: layouts, adapters: adapter,
            load: try base.loadNeed(), limits: room.limits, weightLimits: room.weightLimits,
            backend: backend)
        task.load.laterProgramBytes = room.laterProgramBytes
        let threads = (backend as? CPUBackend)?.threads ?? 1
        let starting =
            targets?.startingBytes(description, threads: threads) ?? (passing: 0, kept: 0)
        // A run that goes on reads what it began with.
        if starting.passing > 0, try resumeFolder(config) == nil {
            (task.starting, task.kept) = starting
        }
        if let rounding = config.training.quantizationAware?.rounding {
            try rounding.check(description)
            task.rounding = rounding
            task.adapters.noteRounding(inputs: rounding.widestInput(description))
        }
        if let most = config.training.layerSampling?.count, most > description.layers {
            throw TrainingError(
                .configuration,
                "lisa_n_layers is \(most), the model has \(description.layers) layers")
        }
        var need = try need(config.training, lengths, extents: task.adapters)
        let (placed, joined) = task.training(
            need, weights: base.options.trained,
            microBatches: config.training.gradientAccumulationSteps,
            optimizer: try config.training.optimizer.need(),
            saving: adapter == nil || base.savesEnds
                ? DecoderSaver.scratchBytes(layouts, config.outputType)
                : description.scores == nil
                    ? 0 : DecoderSaver.scratchBytes([layouts.head], config.outputType),
            canStream: base.canStream,
            generation: generation(config, description, lengths))
        need.joined = joined
        return TrainingPlan(
            placed: placed, joined: joined, spilledBytes: need.diskBytes(description))
    }

    /// What completing prompts holds beside training; nil in a run that completes none.
    private static func generation(
        _ config: AxolotlConfig, _ description: DecoderDescription, _ lengths: ExampleLengths?
    ) -> GenerationNeed? {
        let longest = lengths?.longest ?? config.training.sequenceLen
        return config.training.rollouts?.need(
            lengths, config.training, kvType: config.kvType,
            sharesPages: description.states(sequences: 1) == nil)
            ?? config.training.answers?.need(longest: longest, kvType: config.kvType)
    }

    /// How often an adapter begins anew in a run.
    /// - Parameter lengths: of the examples; when nil and nothing says how many steps there are, no restart is counted.
    static func restarts(_ settings: TrainingSettings, _ lengths: ExampleLengths?) throws -> Int {
        guard let restarts = settings.adapterRestarts else { return 0 }
        let steps =
            try lengths.map { try BatchPlan(lengths: $0.train, settings: settings).steps.count }
            ?? settings.maxSteps ?? 0
        return restarts.count(steps: steps)
    }

    private static func need(
        _ settings: TrainingSettings, _ lengths: ExampleLengths?,
        extents: AdapterExtents
    ) throws -> TrainingNeed {
        guard let lengths else {
            if settings.rollouts != nil {
                return Trainer.need(
                    plan: try BatchPlan(lengths: [settings.sequenceLen], settings: settings),
                    train: [settings.sequenceLen], validation: [], settings: settings,
                    adapterWidths: extents.widths)
            }
            // A guess for packing: examples of 64 tokens, each of which may leave a page unfilled.
            let rows = settings.microBatchTokens
            let sequences = settings.samplePacking ? rows / 64 + 1 : settings.microBatchSize
            return TrainingNeed(
                rows: rows, sequences: sequences, adapters: extents.widths,
                checkpointing: settings.gradientCheckpointing)
        }
        return Trainer.need(
            plan: try BatchPlan(lengths: lengths.train, settings: settings), train: lengths.train,
            validation: lengths.validation, settings: settings,
            adapterWidths: extents.widths)
    }

    // MARK: Refusing

    /// Checks a run against the budget.
    /// - Throws: `TensorError` (`outOfBudget`) with the table and, when one is found, a change that makes it fit.
    static func requireFit(
        _ plan: PlacedMemory, _ base: BaseModel, config: AxolotlConfig, lengths: ExampleLengths?,
        room: TrainingRoom, programBytes: Int, backend: any Backend
    ) throws {
        guard !plan.fits else { return }
        var remedy = "nothing smaller was found to fit; "
        let more = moreMemory(plan, room, programBytes)
        remedy += "raise --memory to \(more), or train a smaller model"
        for (change, candidate) in smaller(config) {
            let fitting = lengths.map { clipped($0, candidate.training.sequenceLen) }
            let needed = try TrainingJob.plan(
                BaseModel(candidate), config: candidate, lengths: fitting, backend: backend,
                room: room)
            if needed.placed.fits {
                remedy = "it fits with \(change), or with --memory \(more)"
                break
            }
        }
        let streaming = plan.placement.isStreaming ? " even with \(plan.placement.summary)" : ""
        let hint =
            base.canStream
            ? "" : "\nonly the frozen base of an adapter can be streamed when it does not fit"
        var tables = plan.devices
        tables[0][.program] = programBytes
        var limits = room.limits
        limits[0] += programBytes
        let rendered = tables.indices.map { device in
            let name =
                tables.count > 1 ? "device \(device), of \(formatBytes(limits[device])):\n" : ""
            return name + tables[device].rendered
        }
        throw TensorError(
            .outOfBudget,
            """
            training needs \(formatBytes(tables.reduce(0) { $0 + $1.total }))\(streaming), the budget is \
            \(limits.map(formatBytes).joined(separator: ", ")):
            \(rendered.joined(separator: "\n"))
            \(remedy)\(hint)
            """)
    }

    /// Sizes in whole MiB that hold what each device was found to need.
    private static func moreMemory(
        _ plan: PlacedMemory, _ room: TrainingRoom, _ programBytes: Int
    ) -> String {
        plan.devices.indices.map { device in
            let program = device == 0 ? programBytes : 0
            let most = max(
                plan.devices[device].total, room.limits[device] > 1 << 60 ? 0 : room.limits[device])
            return suggested(most + program)
        }.joined(separator: ",")
    }

    /// A size in whole MiB that holds `bytes`.
    private static func suggested(_ bytes: Int) -> String { "\((bytes >> 20) + 1)MiB" }

    private static func clipped(_ lengths: ExampleLengths, _ most: Int) -> ExampleLengths {
        let train = lengths.train.filter { $0 <= most }
        return ExampleLengths(
            train: train.isEmpty ? [most] : train,
            validation: lengths.validation.filter { $0 <= most })
    }

    /// The configuration with one change after the other, each on top of those before.
    private static func smaller(_ config: AxolotlConfig) -> [(String, AxolotlConfig)] {
        var candidates: [(String, AxolotlConfig)] = []
        var current = config
        var changes: [String] = []
        func add(_ change: String, replacing last: Bool = false) {
            if last { changes.removeLast() }
            changes.append(change)
            candidates.append((changes.joined(separator: ", "), current))
        }
        if current.training.gradientCheckpointing == .none {
            current.training.gradientCheckpointing = .memory
            add("gradient_checkpointing: true")
        }
        if current.training.microBatchSize > 1 {
            current.training.microBatchSize = 1
            add("micro_batch_size: 1")
        }
        if let adapter = current.adapter, !adapter.quantizesBase,
            !adapter.initialization.replacesWeight
        {
            current.adapter?.quantizesBase = true
            current.adapter?.holdsBaseIn8Bits = false
            add("adapter: qlora, load_in_4bit: true")
        }
        if current.training.gradientCheckpointing == .memory {
            current.training.gradientCheckpointing = .disk
            add("gradient_checkpointing: offload_disk")
        }
        var halved = false
        while current.training.sequenceLen > 128 {
            current.training.sequenceLen /= 2
            add("sequence_len: \(current.training.sequenceLen)", replacing: halved)
            halved = true
        }
        return candidates
    }
}

extension TrainingData {
    /// Tokens of all examples.
    var lengths: ExampleLengths {
        ExampleLengths(train: train.map(\.rowCount), validation: validation.map(\.rowCount))
    }
}

extension AxolotlConfig {
    /// The type of keys and values where prompts are completed.
    var kvType: KVType { precision == .f32 ? .f32 : .bf16 }
}

extension DecoderSaver {
    /// Most temporary bytes while weights of these layouts are written as numbers of a type.
    static func scratchBytes(_ layouts: DecoderLayouts, _ dtype: DType) -> Int {
        scratchBytes([layouts.embedding, layouts.head] + layouts.linears, dtype)
    }

    /// Most temporary bytes while some weights are written as numbers of a type, one after the other.
    static func scratchBytes(_ layouts: [WeightLayout], _ dtype: DType) -> Int {
        layouts.map { layout in
            let rows = min(max(1, (1 << 20) / layout.inputs), layout.outputs)
            return rows * layout.inputs * (4 + dtype.byteWidth)
        }.max() ?? 0
    }
}
