// SPDX-License-Identifier: Apache-2.0
// The settings of generation under Ollama's names.
import EftConfig
import EftGeneration

extension SamplingDefaults {
    /// What Ollama's clients expect of a request without settings: the author's recommendations when there are any on
    /// which tokens are sampled, else Ollama's own defaults.
    package static func ollama(_ generationConfig: ConfigNode?) -> SamplingDefaults {
        var defaults =
            generationConfig.map { SamplingDefaults(generationConfig: $0) } ?? SamplingDefaults()
        if let generationConfig, SamplingDefaults.choosesTokens(generationConfig) {
            return defaults
        }
        defaults.temperature = 0.8
        defaults.topK = 40
        defaults.topP = 0.9
        return defaults
    }
}

/// What a request's `options` say.
///
/// As in Ollama, numbers beyond their range are moved to its end, and names that are not known are passed over, among them those
/// that concern how a model is loaded.
struct OllamaOptions: Sendable {
    var parameters: GenerationParameters
    /// Most tokens of the answer; nil for as many as the context holds.
    let maxTokens: Int?
    /// Most tokens of prompt and answer.
    let window: Int
    /// Tokens at the beginning of a prompt that stay when it is shortened.
    let keptTokens: Int

    /// - Throws: `HTTPFailure` (400).
    init(_ body: RequestFields, _ model: ServedModel) throws(HTTPFailure) {
        let none = try RequestFields(ConfigNode(ConfigObject()))
        let fields = try body.fields("options") ?? none
        for key in ["num_batch", "num_gpu", "num_thread", "repeat_last_n"] {
            _ = try fields.int(key)
        }
        let asked = try fields.int("num_ctx") ?? 0
        window = asked > 0 ? min(asked, model.maxLength) : model.maxLength
        let kept = try fields.int("num_keep") ?? OllamaOptions.usuallyKept
        keptTokens = kept < 0 ? window : kept
        let predicted = try fields.int("num_predict") ?? -1
        maxTokens = predicted > 0 ? predicted : nil
        let known = try RequestFields(
            ConfigNode(OllamaOptions.translated(fields)), path: "options")
        parameters = try known.parameters(model, defaults: model.options.ollamaDefaults)
    }

    /// Ollama's own default of `num_keep`.
    private static let usuallyKept = 4

    /// Most tokens of a prompt: an answer has room for 256 tokens, or a quarter of the context where that is less.
    var promptTokens: Int { window - max(1, min(maxTokens ?? 256, 256, window / 4)) }

    /// A prompt without what lies behind its first tokens, where it is too long.
    func shortened(_ prompt: [Int32]) -> [Int32] {
        let excess = prompt.count - promptTokens
        guard excess > 0 else { return prompt }
        let kept = min(keptTokens, promptTokens - 1, prompt.count)
        guard kept >= 0 else { return prompt }
        return Array(prompt[..<kept] + prompt[(kept + excess)...])
    }

    /// The options under the names and in the ranges of the other routes.
    private static func translated(_ fields: RequestFields) throws(HTTPFailure) -> ConfigObject {
        var object = ConfigObject()
        for key in ["presence_penalty", "frequency_penalty", "seed", "stop"] {
            object[key] = fields[key]
        }
        if let value = try fields.float("temperature") {
            object["temperature"] = ConfigNode(Double(max(value, 0)))
        }
        if let value = try fields.int("top_k") { object["top_k"] = ConfigNode(max(value, 0)) }
        // Zero keeps the likeliest token alone.
        for key in ["top_p", "typical_p"] {
            guard let value = try fields.float(key) else { continue }
            object[key] = ConfigNode(Double(min(max(value, 1e-6), 1)))
        }
        if let value = try fields.float("min_p") {
            object["min_p"] = ConfigNode(Double(min(max(value, 0), 1)))
        }
        if let value = try fields.float("repeat_penalty") {
            guard value > 0 else { throw fields.failure("repeat_penalty", "must be above 0") }
            object["repetition_penalty"] = ConfigNode(Double(value))
        }
        return object
    }
}

extension RequestFields {
    /// The constraint that `format` states: `json` or a schema; nil for none.
    func ollamaConstraint(_ model: ServedModel) throws(HTTPFailure) -> CompiledConstraint? {
        guard let node = self["format"] else { return nil }
        switch node.value {
        case .string(""): return nil
        case .string("json"): return try model.compile(.jsonObject)
        case .object: return try model.compile(.jsonSchema(node))
        default: throw failure("format", "must be \"json\" or a JSON schema")
        }
    }

    /// Entries of each token's list of likely ones; nil when no log-probabilities are requested.
    func ollamaLogprobs(_ model: ServedModel) throws(HTTPFailure) -> Int? {
        let top = try int("top_logprobs") ?? 0
        guard try bool("logprobs") ?? false else { return nil }
        return try checkedLogprobs(top, "top_logprobs", model)
    }

    /// Whether thoughts are wanted, and the arguments of the chat template that say so.
    /// - Throws: `HTTPFailure` (400) for a model that is not known to think, and other values.
    func ollamaThinking(
        _ model: ServedModel
    ) throws(HTTPFailure) -> (isWanted: Bool, arguments: ConfigObject) {
        guard let node = self["think"] else { return (true, ConfigObject()) }
        var arguments = ConfigObject()
        var isWanted = true
        switch node.value {
        case .bool(let value): isWanted = value
        case .string(let word) where ["low", "medium", "high"].contains(word):
            arguments["reasoning_effort"] = ConfigNode(word)
        default: throw failure("think", "must be true, false, \"low\", \"medium\" or \"high\"")
        }
        guard !isWanted || model.options.reasoning != nil else {
            throw failure(
                "think",
                "is not supported: it is not known how this model marks its thoughts; start the server with "
                    + "--reasoning-parser")
        }
        arguments["enable_thinking"] = ConfigNode(isWanted)
        return (isWanted, arguments)
    }
}
