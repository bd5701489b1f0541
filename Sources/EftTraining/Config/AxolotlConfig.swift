// SPDX-License-Identifier: Apache-2.0
// An Axolotl configuration, resolved into what a training run needs.
import EftConfig
import EftModels
import EftTensor

/// A training run as an Axolotl YAML describes it.
package struct AxolotlConfig: Sendable {
    /// The base model and its tokenizer.
    package var model: ModelSettings
    /// The adapter to train; nil trains all weights.
    package var adapter: AdapterSettings?
    /// Which weights are trained without an adapter; all when nil.
    package var unfrozen: UnfrozenParameters?
    /// Where examples come from.
    package var data: DataSettings
    /// The loop.
    package var training: TrainingSettings
    /// What the run tells of itself in files.
    package var reports: ReportSettings
    /// Whether and where to go on.
    package var resume: Resume
    /// The precision in which activations enter products.
    package var precision: ActivationPrecision
    /// The type in which a fully trained model is written.
    package var outputType: DType
    /// Lines for the user: unknown keys, and keys that have another effect than one may think.
    package var notices: [String]
    /// The document with all overrides applied.
    package let document: ConfigCursor

    /// What an earlier run left that is to be gone on from.
    package enum Resume: Sendable, Hashable {
        case never
        /// The checkpoint in this folder.
        case folder(String)
        /// The newest checkpoint of the output folder, which must be there when `required`.
        case newest(required: Bool)
    }

    /// Keys that may stand on the command line without a value.
    package static let booleanKeys = AxolotlKeys.booleans

    /// All keys that Axolotl or Eft knows, in alphabetical order.
    package static let keys: [String] = AxolotlKeys.all.keys.sorted()

    /// Whether Axolotl or Eft knows a key at the top of a configuration.
    package static func isKey(_ name: String) -> Bool { AxolotlKeys.all[name] != nil }

    /// Reads a file and applies overrides from the command line.
    /// - Throws: `ConfigError` with file, line and key.
    package static func read(
        _ path: String, overrides: [ConfigOverride] = []
    ) throws(ConfigError) -> AxolotlConfig {
        try AxolotlConfig(document(path, overrides: overrides))
    }

    /// Reads a file and applies overrides, for those who need only some of its keys.
    /// - Throws: `ConfigError` with file, line and key.
    package static func document(
        _ path: String, overrides: [ConfigOverride] = []
    ) throws(ConfigError) -> ConfigCursor {
        try ConfigOverride.apply(overrides, to: ConfigFile.read(path))
    }

    /// Resolves a document.
    /// - Throws: `ConfigError` with file, line and key.
    package init(_ document: ConfigCursor) throws(ConfigError) {
        self.document = document
        notices = try AxolotlKeys.check(document)
        model = try ModelSettings(document)
        adapter = try AdapterSettings.read(document)
        unfrozen = try UnfrozenParameters(document)
        data = try DataSettings(document)
        training = try TrainingSettings(document, hasValidation: data.hasValidation)
        reports = try ReportSettings(document)
        resume = try Resume(document)
        training.preferences = try PreferenceSettings.read(document)
        training.scoring = try ScoreSettings.read(document)
        training.rollouts = try RolloutSettings.read(document, &notices)
        let types = try AxolotlConfig.types(document)
        (precision, outputType) = (types.precision, types.output)
        notices += try AxolotlConfig.remarks(document)
        try settleMetrics()
        try settlePreferences()
        try settleScores()
        try settleRollouts()
        try settleQuantization()
        try settleLayerSampling()
        try checkOptimizerTargets()
        try settleRestarts()
        try settleAnswers()
        notices += data.datasets.flatMap(\.notices) + data.testDatasets.flatMap(\.notices)
    }

    // MARK: Preferences

    /// Makes data and batches those of preferences, in a run that learns from them.
    private mutating func settlePreferences() throws(ConfigError) {
        guard let preferences = training.preferences else { return }
        data.answers = preferences.takesPairs ? .pairs : .single
        if training.samplePacking {
            training.samplePacking = false
            notices.append("sample_packing has no effect: answers are compared one by one")
        }
        if training.labelSmoothing > 0 {
            notices.append("label_smoothing_factor has no effect: answers are compared")
        }
        guard preferences.method == .kto else { return }
        guard training.microBatchSize > 1 else {
            throw try document.required("rl").error(
                .badValue,
                "kto compares the answers of a micro-batch; set micro_batch_size to 2 or more")
        }
    }

    /// Makes data, batches and adapter those of a model that scores, in a run that trains one.
    private mutating func settleScores() throws(ConfigError) {
        guard let scoring = training.scoring else { return }
        data.answers = scoring.takesPairs ? .scored : .steps(labels: scoring.head.labels)
        if let unfrozen = try document.optional("unfrozen_parameters"), unfrozen.asksForSomething {
            throw unfrozen.error(
                .badValue, "a model that scores is trained whole or by an adapter; remove the key")
        }
        if scoring.takesPairs, training.samplePacking {
            training.samplePacking = false
            notices.append("sample_packing has no effect: answers are compared one by one")
        }
        if scoring.takesPairs, training.labelSmoothing > 0 {
            notices.append("label_smoothing_factor has no effect: answers are compared")
        }
        guard adapter != nil, adapter?.folder == nil else { return }
        if adapter?.modulesToSave.contains(where: { SavedEnds.module(named: $0) == "lm_head" })
            == true
        {
            throw try document.required("lora_modules_to_save").error(
                .badValue, "a model that scores has no lm_head; its head 'score' is always trained")
        }
        adapter?.modulesToSave.append(ScoreHead.name)
    }

    /// Makes data and batches those of a model that learns from rewards, in a run where it does.
    private mutating func settleRollouts() throws(ConfigError) {
        guard let rollouts = training.rollouts else { return }
        let rl = try document.required("rl")
        data.answers = .prompts
        let completions = training.microBatchSize * training.gradientAccumulationSteps
        guard completions % rollouts.numGenerations == 0 else {
            throw rl.error(
                .badValue,
                "a step has micro_batch_size times gradient_accumulation_steps = \(completions) completions, which is no "
                    + "multiple of trl.num_generations (\(rollouts.numGenerations))")
        }
        guard rollouts.beta == 0 || adapter != nil else {
            throw rl.error(
                .badValue,
                "trl.beta compares with the model without its adapter; set adapter: lora, or trl.beta: 0"
            )
        }
        guard data.excessLength != .truncate else {
            throw try document.required("excess_length_strategy").error(
                .badValue, "a prompt without its end makes no sense; set drop or raise")
        }
        let unused = [
            ("sample_packing", training.samplePacking),
            ("group_by_length", training.groupsByLength),
            ("label_smoothing_factor", training.labelSmoothing > 0),
            ("dataset_prepared_path", data.preparedPath != nil),
        ].filter(\.1).map(\.0)
        if !unused.isEmpty {
            notices.append("without effect with grpo: " + unused.joined(separator: ", "))
        }
        (training.samplePacking, training.groupsByLength) = (false, false)
        (training.labelSmoothing, data.preparedPath) = (0, nil)
    }

    /// Takes what `eval_causal_lm_metrics` asks for.
    private mutating func settleMetrics() throws(ConfigError) {
        let metrics = try ReportSettings.metrics(document)
        training.reportsPerplexity =
            metrics.perplexity && training.preferences == nil && training.scoring == nil
            && training.rollouts == nil
    }

    /// Takes what the run is to answer besides learning.
    private mutating func settleAnswers() throws(ConfigError) {
        guard var answers = try AnswerSettings.read(document) else { return }
        if !answers.metrics.isEmpty,
            training.preferences != nil || training.scoring != nil || training.rollouts != nil
        {
            answers.metrics = []
            notices.append("eval_causal_lm_metrics has no effect: no texts are learned")
        }
        if answers.shown > 0, training.scoring != nil || training.rollouts != nil {
            answers.shown = 0
            notices.append("generate_samples has no effect with reward models and grpo")
        }
        training.answers = answers.metrics.isEmpty && answers.shown == 0 ? nil : answers
    }

    // MARK: Precision

    private static func types(
        _ config: ConfigCursor
    ) throws(ConfigError) -> (precision: ActivationPrecision, output: DType) {
        func asks(_ keys: String...) throws(ConfigError) -> Bool? {
            for key in keys {
                guard let value = try config.optional(key) else { continue }
                if case .string("auto") = value.node.value { return true }
                if case .string("full") = value.node.value { return true }
                return try config.lenientBool(key)
            }
            return nil
        }
        let half = try asks("fp16", "float16") ?? false
        let brain = try asks("bf16", "bfloat16")
        if try asks("float32") == true { return (.f32, .f32) }
        if half { return (.bf16, .f16) }
        // Axolotl's default is `bf16: auto`.
        return brain ?? true ? (.bf16, .bf16) : (.f32, .f32)
    }

    // MARK: Remarks

    private static func remarks(_ config: ConfigCursor) throws(ConfigError) -> [String] {
        var lines: [String] = []
        if let optimizer = try config.text("optimizer"),
            let bits = OptimizerTable.find(optimizer)?.promisedBits
        {
            lines.append("optimizer '\(optimizer)' runs with f32 state, not \(bits)-bit state")
        }
        if let checkpointing = try config.optional("gradient_checkpointing"),
            case .string("offload") = checkpointing.node.value
        {
            lines.append(
                "gradient_checkpointing 'offload' recomputes layers; kept inputs stay in memory (offload_disk "
                    + "keeps them in a temporary file)")
        }
        if let value = try config.optional("activation_offloading"), value.asksForSomething,
            value.node.value != .string("disk")
        {
            lines.append(
                "activation_offloading recomputes layers; kept inputs stay in memory ('disk' keeps them in a "
                    + "temporary file)")
        }
        if try config.text("adapter") != nil, try UnfrozenParameters(config) != nil {
            lines.append("unfrozen_parameters has no effect: the base of an adapter stays frozen")
        }
        lines += try modelRemarks(config)
        if try config.text("evaluation_strategy") != nil {
            lines.append("evaluation_strategy is now called eval_strategy")
        }
        return lines
    }
}

extension AxolotlConfig {
    /// What becomes of `model_config`, which changes entries of the model's own configuration.
    fileprivate static func modelRemarks(
        _ config: ConfigCursor
    ) throws(ConfigError) -> [String] {
        var lines: [String] = []
        for name in ["model_config", "overrides_of_model_config"] {
            guard let entries = try config.optional(name)?.entries() else { continue }
            for (key, value) in entries where value.asksForSomething {
                guard key == "output_router_logits" else {
                    throw value.error(
                        .badValue,
                        "not supported yet; set it in the model's config.json, or remove the key")
                }
                lines.append(
                    "\(name).output_router_logits: the auxiliary loss of routers is not supported yet and left out"
                )
            }
        }
        return lines
    }
}

extension AxolotlConfig.Resume {
    fileprivate init(_ config: ConfigCursor) throws(ConfigError) {
        let auto = try config.lenientBool("auto_resume_from_checkpoints") ?? false
        guard let value = try config.optional("resume_from_checkpoint"), value.asksForSomething
        else {
            self = auto ? .newest(required: false) : .never
            return
        }
        if case .string(let text) = value.node.value, YAMLScalar.resolve(text) != .bool(true) {
            self = .folder(text)
        } else {
            guard try config.lenientBool("resume_from_checkpoint") ?? false else {
                self = .never
                return
            }
            self = .newest(required: true)
        }
    }
}
