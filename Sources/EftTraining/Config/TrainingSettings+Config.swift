// SPDX-License-Identifier: Apache-2.0
// The loop's settings from an Axolotl configuration.
import EftConfig
import EftModels

extension TrainingSettings {
    /// Reads the loop's keys.
    /// - Throws: `ConfigError` for values out of range and for combinations that make no sense.
    init(_ config: ConfigCursor, hasValidation: Bool) throws(ConfigError) {
        self.init()
        try readBatches(config)
        try readOptimizer(config)
        try readSchedule(config)
        try readSaves(config)
        if hasValidation { try readEvaluations(config) }
        gradientCheckpointing = try TrainingSettings.checkpointing(config)
        try readGuards(config, hasValidation: hasValidation)
        outputDir = try config.text("output_dir") ?? outputDir
        loggingSteps = try config.lenientInt("logging_steps", in: 1...Int.max) ?? 1
        seed = UInt64(try config.lenientInt("seed", in: 0...Int.max) ?? 42)
    }

    private mutating func readBatches(_ config: ConfigCursor) throws(ConfigError) {
        let sizes = 1...(1 << 20)
        sequenceLen =
            try config.lenientInt("sequence_len", in: 1...DataSettings.longestSequence) ?? 512
        microBatchSize = try config.lenientInt("micro_batch_size", in: sizes) ?? 1
        let accumulation = try config.lenientInt("gradient_accumulation_steps", in: sizes)
        if let batch = try config.lenientInt("batch_size", in: sizes) {
            let cursor = try config.required("batch_size")
            guard accumulation == nil else {
                throw cursor.error(
                    .badValue, "batch_size and gradient_accumulation_steps exclude each other")
            }
            guard batch % microBatchSize == 0 else {
                throw cursor.error(
                    .badValue, "\(batch) is no multiple of micro_batch_size (\(microBatchSize))")
            }
            gradientAccumulationSteps = batch / microBatchSize
        } else {
            gradientAccumulationSteps = accumulation ?? 1
        }
        samplePacking = try config.lenientBool("sample_packing") ?? false
        packsInOrder = try config.lenientBool("sample_packing_sequentially") ?? false
        keepsOrder = try config.lenientBool("curriculum_sampling") ?? false
        groupsByLength = try config.lenientBool("group_by_length") ?? false
        maxSteps = try config.lenientInt("max_steps", in: -1...BatchPlan.mostSteps)
        // Hugging Face writes -1 for "no limit".
        if let most = maxSteps, most <= 0 { maxSteps = nil }
        numEpochs = try config.lenientDouble("num_epochs", in: 0...1e6) ?? 1
        guard numEpochs > 0 || maxSteps != nil else {
            throw try config.required("num_epochs").error(.badValue, "must be above 0")
        }
    }

    private mutating func readOptimizer(_ config: ConfigCursor) throws(ConfigError) {
        optimizer = try OptimizerSettings(config)
        rateGroups = try RateGroups(config)
        guard let rate = try config.lenientDouble("learning_rate", in: 0...1e6) else {
            throw config.error(.missingKey, "the key 'learning_rate' is missing")
        }
        learningRate = rate
        guard rate > 0 || !rateGroups.areAsked else {
            throw try config.required("learning_rate").error(
                .badValue, "must be above 0: rates of parts of the model follow its curve")
        }
        weightDecay = try config.lenientDouble("weight_decay", in: 0...1e6) ?? 0
        maxGradNorm = try config.lenientDouble("max_grad_norm", in: 0...1e12) ?? 1
    }

    private mutating func readSchedule(_ config: ConfigCursor) throws(ConfigError) {
        if let value = try config.optional("lr_scheduler") {
            let name = try value.string()
            guard let kind = LearningRateSchedule.Kind(rawValue: name) else {
                let known = LearningRateSchedule.Kind.allCases.map(\.rawValue)
                throw value.error(
                    .badValue,
                    "the schedule '\(excerpt(name))' is not supported yet; there are "
                        + known.joined(separator: ", "))
            }
            schedule = kind
        }
        scheduleOptions = try ScheduleOptions(config)
        jaggedRestarts = try JaggedRestarts.read(config)
        adapterRestarts = try AdapterRestartSettings.read(config, jaggedRestarts)
        warmupRatio = try config.lenientDouble("warmup_ratio", in: 0...1)
        if let steps = try config.lenientDouble(
            "warmup_steps", in: 0...Double(BatchPlan.mostSteps)), steps > 0,
            steps < 1
        {
            // transformers takes a fraction for a share of all steps.
            guard warmupRatio == nil else { throw try bothWarmups(config) }
            warmupRatio = steps
        } else {
            warmupSteps = try config.lenientInt("warmup_steps", in: 0...BatchPlan.mostSteps)
        }
        guard warmupSteps == nil || warmupRatio == nil else { throw try bothWarmups(config) }
        cosineMinLRRatio = try config.lenientDouble("cosine_min_lr_ratio", in: 0...1) ?? 0
        cosineConstantLRRatio = try config.lenientDouble("cosine_constant_lr_ratio", in: 0...1)
    }

    private func bothWarmups(_ config: ConfigCursor) throws(ConfigError) -> ConfigError {
        try config.required("warmup_ratio").error(
            .badValue, "warmup_steps and warmup_ratio exclude each other")
    }

    // MARK: Regularization and ends

    private mutating func readGuards(
        _ config: ConfigCursor, hasValidation: Bool
    ) throws(ConfigError) {
        loraPlusRatio = try config.lenientDouble("loraplus_lr_ratio", in: 1e-6...1e6) ?? 1
        let older = try config.lenientDouble("noisy_embedding_alpha", in: 0...1e6)
        embeddingNoise = try config.lenientDouble("neftune_noise_alpha", in: 0...1e6) ?? older ?? 0
        labelSmoothing = try config.lenientDouble("label_smoothing_factor", in: 0...1) ?? 0
        earlyStoppingPatience = try config.lenientInt(
            "early_stopping_patience", in: 1...BatchPlan.mostSteps)
        loadsBest = try config.lenientBool("load_best_model_at_end") ?? false
        for key in ["early_stopping_patience", "load_best_model_at_end"] {
            guard let value = try config.optional(key), value.asksForSomething, !hasValidation
            else { continue }
            throw value.error(
                .badValue, "there is nothing to evaluate on; set val_set_size or test_datasets")
        }
        guard let threshold = try config.lenientDouble("loss_watchdog_threshold", in: 0...1e9)
        else { return }
        lossWatchdog = LossWatchdog(
            threshold: threshold,
            patience: try config.lenientInt("loss_watchdog_patience", in: 1...BatchPlan.mostSteps)
                ?? 3)
    }

    // MARK: Saving and evaluating

    private mutating func readSaves(_ config: ConfigCursor) throws(ConfigError) {
        saves =
            try TrainingSettings.cadence(
                config, strategy: "save_strategy", steps: "save_steps", perEpoch: "saves_per_epoch")
            ?? .epochs(1)
        savesOnlyModel = try config.lenientBool("save_only_model") ?? false
        saveTotalLimit = try config.lenientInt("save_total_limit", in: 1...Int.max) ?? 4
    }

    private mutating func readEvaluations(_ config: ConfigCursor) throws(ConfigError) {
        let strategy =
            try config.optional("eval_strategy") == nil ? "evaluation_strategy" : "eval_strategy"
        let asked = try TrainingSettings.cadence(
            config, strategy: strategy, steps: "eval_steps", perEpoch: "evals_per_epoch")
        evaluations = asked ?? .epochs(1)
        evaluatesAtStart =
            try config.lenientBool("eval_on_start") ?? (asked != nil && asked != .never)
    }

    /// When something is to happen; nil when no key says so.
    private static func cadence(
        _ config: ConfigCursor, strategy: String, steps: String, perEpoch: String
    ) throws(ConfigError) -> Cadence? {
        let word = try config.optional(strategy)
        if let word, case .bool(false) = word.node.value { return .never }
        let name = try word?.string()
        if name == "no" { return .never }
        if let times = try config.lenientInt(perEpoch, in: 0...(1 << 20)) {
            guard try config.optional(steps) == nil else {
                throw try config.required(steps).error(
                    .badValue, "\(steps) and \(perEpoch) exclude each other")
            }
            return times == 0 ? .never : .epochs(times)
        }
        if name != "epoch", let every = try config.lenientDouble(steps, in: 0...1e9), every > 0 {
            return every < 1 ? .share(every) : .steps(Int(every))
        }
        switch name {
        case nil: return nil
        case "epoch", "best": return .epochs(1)
        case "steps": return .steps(500)
        default: throw try config.required(strategy).error(.badValue, "expected no, epoch or steps")
        }
    }

    /// `gradient_checkpointing`, and `activation_offloading` that took the place of its words.
    private static func checkpointing(_ config: ConfigCursor) throws(ConfigError) -> Checkpointing {
        let offloading = try config.optional("activation_offloading")
        var onDisk = false
        if case .string("disk") = offloading?.node.value { onDisk = true }
        let offloads = offloading?.asksForSomething ?? false
        guard let value = try config.optional("gradient_checkpointing") else {
            return onDisk ? .disk : offloads ? .memory : .none
        }
        if case .string(let word) = value.node.value, ["offload", "offload_disk"].contains(word) {
            return word == "offload_disk" || onDisk ? .disk : .memory
        }
        let recomputes = try config.lenientBool("gradient_checkpointing") ?? false || offloads
        return onDisk ? .disk : recomputes ? .memory : .none
    }
}
