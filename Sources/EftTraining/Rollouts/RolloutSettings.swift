// SPDX-License-Identifier: Apache-2.0
// The keys of a configuration that say how a model learns from rewards of its own answers.
import EftConfig
import EftModels
import EftNN
import EftTensor

/// How a run learns by group relative policy optimization, under the names of the keys of Axolotl's block `trl`.
package struct RolloutSettings: Sendable, Hashable {
    /// Completions of each prompt.
    package var numGenerations = 8
    /// Most tokens of a completion.
    package var maxCompletionLength = 256
    /// The weight of the divergence from the reference; 0 needs no reference.
    package var beta = 0.0
    /// How far probabilities may change at once, downwards and upwards.
    package var epsilon = 0.2
    package var epsilonHigh = 0.2
    /// The most that a probability's ratio counts, whatever its advantage.
    package var delta: Double?
    /// How the tokens of a step become one loss.
    package var lossType = LossType.dapo
    /// By whose deviation rewards are divided.
    package var scaling = Scaling.group
    /// Whether a whole completion has one ratio.
    package var ratiosOfSequences = false
    /// Steps made of the same completions.
    package var numIterations = 1
    /// Whether completions that were cut off teach nothing.
    package var masksTruncated = false
    /// How completions are sampled.
    package var temperature = 1.0
    package var topP = 1.0
    package var topK = 0
    package var minP = 0.0
    package var repetitionPenalty = 1.0
    /// Commands that give rewards.
    package var rewardCommands: [String]
    /// What the rewards of each count times.
    package var rewardWeights: [Double]
    /// Seconds that a command may take for the completions of a step.
    package var rewardTimeout = 300

    /// How the tokens of a step become one loss, as TRL has it.
    package enum LossType: String, Sendable, CaseIterable {
        /// The mean over the tokens of a completion, and over completions.
        case grpo
        /// The mean over all tokens of a micro-batch.
        case bnpo
        /// The sum over tokens by the most that there could be.
        case drGRPO = "dr_grpo"
        /// The mean over all tokens of a step.
        case dapo
    }

    /// By whose deviation rewards are divided.
    package enum Scaling: String, Sendable, CaseIterable {
        case group, batch, none
    }

    /// Makes settings with TRL's defaults.
    package init(rewardCommands: [String], rewardWeights: [Double]? = nil) {
        self.rewardCommands = rewardCommands
        self.rewardWeights = rewardWeights ?? [Double](repeating: 1, count: rewardCommands.count)
    }

    /// How completions are sampled.
    var form: CompletionForm {
        var form = CompletionForm(maxTokens: maxCompletionLength, temperature: temperature)
        (form.topP, form.topK, form.minP) = (topP, topK, minP)
        form.repetitionPenalty = repetitionPenalty
        return form
    }

    // MARK: Sizes

    /// Most completions that are sampled side by side.
    private static let mostAtOnce = 16

    /// Prompts of a step.
    func prompts(_ settings: TrainingSettings) -> Int {
        max(settings.microBatchSize * settings.gradientAccumulationSteps / numGenerations, 1)
    }

    /// What sampling holds beside training.
    /// - Parameters:
    ///   - lengths: of the prompts; nil before they are known.
    ///   - sharesPages: whether completions of a prompt have its keys and values in common.
    func need(
        _ lengths: ExampleLengths?, _ settings: TrainingSettings, kvType: KVType,
        sharesPages: Bool
    ) -> GenerationNeed {
        let longest = lengths?.longest ?? settings.sequenceLen
        let count = prompts(settings)
        let sequences = min(count * numGenerations, Self.mostAtOnce)
        // Each prompt is read once, for all of its completions.
        let rows = count * longest + sequences
        var need = GenerationNeed(
            contextLength: longest + maxCompletionLength, sequences: sequences,
            prefillChunk: min(rows, 512), kvType: kvType)
        if let lengths, sharesPages, count * numGenerations <= Self.mostAtOnce {
            let most = Set(lengths.train + lengths.validation).map(pages(prompt:)).max()
            need.cachePages = most.map { max(count * $0, pageCount(tokens: need.contextLength)) }
        }
        return need
    }

    /// Pages of all completions of a prompt, whose full pages they share, but not the one of its last token.
    private func pages(prompt: Int) -> Int {
        let shared = max(prompt - 1, 0) / pageTokens
        let each = pageCount(tokens: prompt + maxCompletionLength) - shared
        return shared + numGenerations * each
    }

    // MARK: Configuration

    private static let known = [
        "beta", "max_completion_length", "num_generations", "epsilon", "epsilon_high", "delta",
        "loss_type", "scale_rewards", "importance_sampling_level", "num_iterations",
        "mask_truncated_completions", "temperature", "top_p", "top_k", "min_p",
        "repetition_penalty", "reward_command", "reward_weights", "reward_timeout",
    ]
    /// Keys of vLLM and of logs.
    private static let noEffect = [
        "use_vllm", "vllm_device", "vllm_gpu_memory_utilization", "vllm_dtype",
        "vllm_max_model_len", "vllm_mode", "vllm_server_host", "vllm_server_port",
        "vllm_server_timeout", "vllm_enable_prefix_caching", "vllm_guided_decoding_regex",
        "vllm_tensor_parallel_size", "vllm_enable_sleep_mode", "log_completions",
        "num_completions_to_print", "ref_model_mixup_alpha", "ref_model_sync_steps",
    ]
    private static let refused = [
        "sync_ref_model", "use_liger_loss", "reward_processing_classes", "rollout_func",
        "multi_objective_aggregation", "async_prefetch", "use_data_producer", "replay_buffer_size",
        "generation_kwargs", "top_entropy_quantile", "tools",
    ]

    /// Reads `rl: grpo` and the block `trl`; nil in other runs.
    /// - Parameter notices: gets lines for the user.
    /// - Throws: `ConfigError` for what Eft does not have and for values out of range.
    static func read(
        _ config: ConfigCursor, _ notices: inout [String]
    ) throws(ConfigError) -> RolloutSettings? {
        let block = try config.optional("trl")
        guard let rl = try config.optional("rl"), rl.asksForSomething,
            try rl.string().lowercased() == "grpo"
        else {
            if let block, block.asksForSomething {
                throw block.error(.badValue, "goes with rl: grpo")
            }
            return nil
        }
        guard let block else {
            throw rl.error(
                .missingKey, "grpo needs the block 'trl' with a reward_command")
        }
        try check(block, &notices)
        let commands = try block.texts("reward_command") ?? []
        guard !commands.isEmpty else {
            throw block.error(
                .missingKey,
                "grpo needs trl.reward_command: a shell command that reads a JSON object for each completion from "
                    + "its standard input and writes a number for each, a line each")
        }
        var settings = RolloutSettings(rewardCommands: commands)
        try settings.readLoss(block)
        try settings.readSampling(block)
        try settings.readRewards(block)
        return settings
    }

    private static func check(
        _ block: ConfigCursor, _ notices: inout [String]
    ) throws(ConfigError) {
        if let functions = try block.optional("reward_funcs"), functions.asksForSomething {
            throw functions.error(
                .badValue,
                "functions of Python are not called; give a command as trl.reward_command, such as 'python3 "
                    + "rewards.py': it reads a JSON object for each completion (prompt, completion and the row's other "
                    + "fields) from its standard input, and writes a number for each, a line each")
        }
        for key in refused {
            guard let value = try block.optional(key), value.asksForSomething else { continue }
            throw value.error(.badValue, "not supported yet; remove the key")
        }
        let all = known + noEffect + refused + ["reward_funcs"]
        notices += try block.unknownKeys(known: all).map { "\($0); it is ignored" }
        var unused: [String] = []
        for key in noEffect {
            if try block.optional(key)?.asksForSomething == true { unused.append("trl." + key) }
        }
        if !unused.isEmpty {
            notices.append(
                "without effect here: completions are sampled by this program: "
                    + unused.joined(separator: ", "))
        }
    }

    private mutating func readLoss(_ block: ConfigCursor) throws(ConfigError) {
        let weights = 0...1e9
        beta = try block.lenientDouble("beta", in: weights) ?? beta
        epsilon = try block.lenientDouble("epsilon", in: 0...1) ?? epsilon
        epsilonHigh = try block.lenientDouble("epsilon_high", in: weights) ?? epsilon
        delta = try block.lenientDouble("delta", in: 1...1e9)
        numIterations = try block.lenientInt("num_iterations", in: 1...10_000) ?? numIterations
        masksTruncated = try block.lenientBool("mask_truncated_completions") ?? false
        if let value = try block.optional("loss_type") {
            guard let type = LossType(rawValue: try value.string()) else {
                throw value.error(
                    .badValue,
                    "the loss '\(excerpt(try value.string()))' is not supported yet; there are "
                        + LossType.allCases.map(\.rawValue).joined(separator: ", "))
            }
            lossType = type
        }
        if let value = try block.optional("importance_sampling_level") {
            switch try value.string() {
            case "token": ratiosOfSequences = false
            case "sequence": ratiosOfSequences = true
            default: throw value.error(.badValue, "expected token or sequence")
            }
        }
        guard let value = try block.optional("scale_rewards") else { return }
        if case .bool(let isOn) = value.node.value {
            scaling = isOn ? .group : .none
        } else if let given = Scaling(rawValue: try value.string()) {
            scaling = given
        } else {
            throw value.error(.badValue, "expected group, batch, none, true or false")
        }
    }

    private mutating func readSampling(_ block: ConfigCursor) throws(ConfigError) {
        numGenerations = try block.lenientInt("num_generations", in: 2...4096) ?? numGenerations
        maxCompletionLength =
            try block.lenientInt("max_completion_length", in: 1...(1 << 20)) ?? maxCompletionLength
        temperature = try block.lenientDouble("temperature", in: 0.01...100) ?? temperature
        topP = try block.lenientDouble("top_p", in: 1e-6...1) ?? topP
        topK = try block.lenientInt("top_k", in: -1...Int(Int32.max)) ?? topK
        minP = try block.lenientDouble("min_p", in: 0...1) ?? minP
        repetitionPenalty =
            try block.lenientDouble("repetition_penalty", in: 0.01...100) ?? repetitionPenalty
    }

    private mutating func readRewards(_ block: ConfigCursor) throws(ConfigError) {
        rewardTimeout =
            try block.lenientInt("reward_timeout", in: 1...(1 << 24)) ?? rewardTimeout
        guard let list = try block.optional("reward_weights"), list.asksForSomething else { return }
        var weights: [Double] = []
        for item in try list.elements() { weights.append(try item.double()) }
        guard weights.count == rewardCommands.count else {
            throw list.error(
                .badValue,
                "there are \(weights.count) weights for \(rewardCommands.count) commands")
        }
        rewardWeights = weights
    }
}
