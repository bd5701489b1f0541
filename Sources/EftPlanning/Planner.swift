// SPDX-License-Identifier: Apache-2.0
// Plans stages for a model in a folder, or for a bare config.json.
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Plans what commands will need, by the statements that their components allocate by.
package struct Planner {
    /// The model.
    package let description: DecoderDescription
    /// Bytes that each device may hold.
    package internal(set) var limits: [Int]
    /// Most bytes of weights for each device; its whole room when nil.
    package let weightLimits: [Int]?
    /// Bytes of the program itself, held against the first device.
    package var programBytes: Int
    /// Those of them that come only once the weights are loaded.
    package var laterProgramBytes = 0
    /// A device of this kind, for the sizes of scratch memory.
    package let backend: any Backend
    /// What estimates times; they are left out when nil.
    package var estimator: Estimator?

    /// Prepares to plan.
    package init(
        description: DecoderDescription, limits: [Int], weightLimits: [Int]? = nil,
        programBytes: Int, backend: any Backend
    ) {
        self.description = description
        self.limits = limits
        self.weightLimits = weightLimits
        self.programBytes = programBytes
        self.backend = backend
    }

    func task(
        _ layouts: DecoderLayouts, adapters: AdapterExtents? = nil, load: LoadNeed = LoadNeed()
    ) -> PlacementTask {
        var load = load
        load.laterProgramBytes = laterProgramBytes
        return PlacementTask(
            description: description, layouts: layouts, adapters: adapters, load: load,
            limits: limits, weightLimits: weightLimits, programBytes: programBytes,
            backend: backend)
    }

    func stage(_ name: String, _ placed: PlacedMemory, _ detail: String) -> StagePlan {
        StagePlan(name: name, placed: placed, weightLimits: weightLimits, detail: detail)
    }

    /// Sizes of memory that hold a plan, a device at a time.
    package func enough(_ plan: StagePlan) -> String {
        let sizes = zip(plan.devices, limits).map { table, limit in
            "\((max(table.total, limits.count == 1 ? 0 : limit) >> 20) + 1)MiB"
        }
        return "--memory " + sizes.joined(separator: ",")
    }

    // MARK: Run

    /// A run over weights of given layouts, some of them streamed when they do not fit.
    /// - Parameter seekingRemedy: whether to look for what makes a run fit that does not.
    package func run(
        name: String, layouts: DecoderLayouts, adapters: AdapterExtents? = nil,
        load: LoadNeed = LoadNeed(), need: GenerationNeed, seekingRemedy: Bool = true
    ) -> StagePlan {
        let task = task(layouts, adapters: adapters, load: load)
        func planned(_ need: GenerationNeed) -> StagePlan {
            stage(
                name, task.generation(need),
                "\(need.contextLength) tokens of context, \(need.sequences) at once")
        }
        var plan = planned(need)
        guard !plan.fits(limits) else {
            plan.estimate = estimator?.decodeStep(
                sequences: need.sequences, context: need.contextLength, kvType: need.kvType,
                layouts: layouts, placement: plan.placement)
            return plan
        }
        guard seekingRemedy else { return plan }
        for (change, candidate) in smallerGenerations(need) where planned(candidate).fits(limits) {
            plan.remedy = change
            return plan
        }
        plan.remedy = widestFit(need) ?? enough(plan)
        return plan
    }

    /// Changes that people make, the smallest first: narrower keys and values, then half the context.
    private func smallerGenerations(_ need: GenerationNeed) -> [(String, GenerationNeed)] {
        var candidates: [(String, GenerationNeed)] = []
        let head = description.shape.headDim
        for type in FitRequirements.kvTypes(headDim: head)
        where type != .bf16
            && type.pageBytes(kvHeads: 1, headDim: head)
                < need.kvType.pageBytes(kvHeads: 1, headDim: head)
        {
            var smaller = need
            smaller.kvType = type
            candidates.append(("--kv-cache-dtype \(type.rawValue)", smaller))
        }
        var smaller = need
        while smaller.contextLength > 256 {
            smaller.contextLength /= 2
            smaller.prefillChunk = min(smaller.prefillChunk, 128)
            candidates.append(("--max-seq-len \(smaller.contextLength)", smaller))
        }
        return candidates
    }

    /// The widest EXL2 width at which a run fits.
    private func widestFit(_ need: GenerationNeed) -> String? {
        for bits in EXL2Geometry.uniformWidths.reversed() {
            let format = PlannedFormat.exl2(
                bits: Double(bits), headBits: Planner.headBits(Double(bits)))
            guard let layouts = try? DecoderLayouts(description, format: format) else { continue }
            if stage("", task(layouts).generation(need), "").fits(limits) {
                return "the model quantized to \(bits) bits"
            }
        }
        return nil
    }

    /// Scoring batches of `rows` tokens in at most `sequences` sequences over weights of given layouts, some of them
    /// streamed when they do not fit.
    /// - Parameters:
    ///   - least: the fewest tokens that are advised where `rows` do not fit.
    ///   - kvType: how keys and values are held.
    package func evaluate(
        name: String, layouts: DecoderLayouts, adapters: AdapterExtents? = nil,
        load: LoadNeed = LoadNeed(), rows: Int, least: Int = 64, sequences: Int = 1,
        kvType: KVType = .f32
    ) -> StagePlan {
        let task = task(layouts, adapters: adapters, load: load)
        func planned(_ rows: Int) -> StagePlan {
            stage(
                name, task.evaluation(rows: rows, sequences: sequences, kvType: kvType),
                "windows of \(rows) tokens")
        }
        var plan = planned(rows)
        var smaller = rows
        while !plan.fits(limits), plan.remedy == nil, smaller > least {
            smaller = max(smaller / 2, least)
            if planned(smaller).fits(limits) { plan.remedy = "--length \(smaller)" }
        }
        if !plan.fits(limits), plan.remedy == nil { plan.remedy = enough(plan) }
        return plan
    }

    // MARK: Train

    /// What a training run trains.
    package struct TrainingOptions: Sendable, Hashable {
        /// Rank of adapters on all linear layers; 0 for full training.
        package var rank: Int
        /// Tokens of a sequence.
        package var sequenceLen: Int
        /// Sequences of a micro-batch.
        package var microBatchSize: Int
        /// Micro-batches of a step.
        package var microBatches: Int
        /// Whether adapters use dropout.
        package var usesDropout: Bool
        /// What is kept for the backward pass.
        package var checkpointing: Checkpointing

        /// Makes options.
        package init(
            rank: Int, sequenceLen: Int, microBatchSize: Int, microBatches: Int = 1,
            usesDropout: Bool = false,
            checkpointing: Checkpointing = .memory
        ) {
            self.rank = rank
            self.sequenceLen = sequenceLen
            self.microBatchSize = microBatchSize
            self.microBatches = microBatches
            self.usesDropout = usesDropout
            self.checkpointing = checkpointing
        }

        /// Tokens of a step.
        package var stepTokens: Int { sequenceLen * microBatchSize * microBatches }
    }

    /// A training run over weights of given layouts; of an adapter's base some layers are streamed when they do not
    /// fit.
    package func train(
        name: String, layouts: DecoderLayouts, load: LoadNeed = LoadNeed(),
        options: TrainingOptions
    ) -> StagePlan {
        var plan = trainOnce(name, layouts, load, options)
        guard !plan.fits(limits) else { return plan }
        for (change, candidate) in smallerTrainings(options)
        where trainOnce(name, layouts, load, candidate).fits(limits) {
            plan.remedy = change
            return plan
        }
        plan.remedy = enough(plan)
        return plan
    }

    private func smallerTrainings(
        _ options: TrainingOptions
    ) -> [(change: String, options: TrainingOptions)] {
        var candidates: [(String, TrainingOptions)] = []
        var current = options
        var changes: [String] = []
        if current.checkpointing == .none {
            current.checkpointing = .memory
            changes.append("gradient_checkpointing: true")
            candidates.append((changes.joined(separator: ", "), current))
        }
        if current.microBatchSize > 1 {
            current.microBatchSize = 1
            changes.append("micro_batch_size: 1 (and as many gradient_accumulation_steps)")
            candidates.append((changes.joined(separator: ", "), current))
        }
        if current.checkpointing == .memory {
            current.checkpointing = .disk
            changes.removeAll { $0.hasPrefix("gradient_checkpointing") }
            changes.append("gradient_checkpointing: offload_disk")
            candidates.append((changes.joined(separator: ", "), current))
        }
        while current.sequenceLen > 128 {
            current.sequenceLen /= 2
            let change = changes + ["sequence_len: \(current.sequenceLen)"]
            candidates.append((change.joined(separator: ", "), current))
        }
        return candidates
    }

    private func trainOnce(
        _ name: String, _ layouts: DecoderLayouts, _ load: LoadNeed, _ options: TrainingOptions
    ) -> StagePlan {
        let adapters = AdapterExtents(
            description, rank: options.rank, usesDropout: options.usesDropout)
        let need = TrainingNeed(
            rows: options.sequenceLen * options.microBatchSize, sequences: options.microBatchSize,
            adapters: adapters.widths,
            checkpointing: options.checkpointing)
        let (placed, joined) = task(layouts, adapters: adapters, load: load)
            .training(
                need, weights: options.rank == 0 ? .all : .none,
                microBatches: options.microBatches)
        let trainable = options.rank == 0 ? layouts.byteCount : adapters.byteCount
        var detail = options.rank == 0 ? "all weights" : "rank \(options.rank)"
        detail +=
            ", \(options.microBatches) x \(options.microBatchSize) x \(options.sequenceLen) tokens"
        if joined > 1 { detail += ", one pass over the weights for each \(joined) micro-batches" }
        var plan = stage(name, placed, detail)
        // What is trained, and a checkpoint of it with both moments, written aside.
        var spilled = need
        spilled.joined = joined
        plan.disk += trainable * 4 + spilled.diskBytes(description)
        plan.estimate = estimate(options, layouts, plan, joined: joined, trainable: trainable / 4)
        return plan
    }

    /// A step of training.
    private func estimate(
        _ options: TrainingOptions, _ layouts: DecoderLayouts, _ plan: StagePlan, joined: Int,
        trainable: Int
    ) -> StageEstimate? {
        guard var estimator, plan.fits(limits) else { return nil }
        // Training computes in bf16 unless its configuration says otherwise.
        estimator.precision = .bf16
        let batch = Estimator.TrainingBatch(
            sequences: options.microBatchSize, length: options.sequenceLen, rank: options.rank,
            checkpointing: options.checkpointing.recomputes, joined: joined)
        guard
            let pass = estimator.trainingBatch(
                batch, layouts: layouts, placement: plan.placement)
        else { return nil }
        let passes = Double(options.microBatches) / Double(joined)
        let seconds =
            pass.seconds * passes.rounded(.up)
            + estimator.optimizerStep(trainable: trainable).seconds
        let tokens = options.stepTokens
        return StageEstimate(
            seconds: seconds, tokensPerSecond: Double(tokens) / seconds, limit: pass.limit)
    }
}
