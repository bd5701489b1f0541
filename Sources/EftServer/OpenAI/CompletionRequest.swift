// SPDX-License-Identifier: Apache-2.0
// A request for completions, read and checked.
import EftConfig
import EftGeneration

/// What `POST /v1/completions` asks for.
struct CompletionRequest: Sendable {
    let placement: RequestPlacement
    /// Prompts as tokens.
    let prompts: [[Int32]]
    /// Settings of all prompts but `maxTokens`, which depends on the prompt's length.
    let parameters: GenerationParameters
    let maxTokens: Int
    let samples: Int
    let constraint: CompiledConstraint?
    let echo: Bool
    /// Whether the token at the beginning of each prompt is the tokenizer's, so that an echo does not show it.
    let beginsByTokenizer: Bool
    /// Log-probabilities asked for; nil for none.
    let logprobs: Int?
    let promptLogprobs: Int?
    let stream: (isStream: Bool, usage: Bool, always: Bool)
    let tokensAsIDs: Bool
    let returnsTokenIDs: Bool
    let beams: BeamSearchParameters?

    /// - Throws: `HTTPFailure` (400, 404).
    init(_ body: ConfigNode, _ model: ServedModel) throws(HTTPFailure) {
        let fields = try RequestFields(body)
        let named = try model.named(fields)
        try fields.refuseGone()
        if try !(fields.string("suffix") ?? "").isEmpty {
            throw fields.failure("suffix", "is not served: the model fills in no gaps")
        }
        stream = try fields.streamOptions(model)
        echo = try fields.bool("echo") ?? false
        maxTokens = try fields.int("max_tokens") ?? 16
        guard maxTokens >= (echo ? 0 : 1) else {
            throw fields.failure(
                "max_tokens", "must be at least 1, or 0 together with echo; found \(maxTokens)")
        }
        var parameters = try fields.parameters(model)
        parameters.maxTokens = maxTokens
        try fields.checkLeast(parameters, most: maxTokens)
        logprobs = try fields.logprobs("logprobs", model)
        var promptLogprobs = try fields.logprobs("prompt_logprobs", model)
        if promptLogprobs != nil, stream.isStream {
            throw fields.failure("prompt_logprobs", "cannot be streamed")
        }
        self.promptLogprobs = promptLogprobs
        if echo, let logprobs { promptLogprobs = max(promptLogprobs ?? 0, logprobs) }
        parameters.logprobs = logprobs
        parameters.promptLogprobs = promptLogprobs
        beams = try fields.beams(parameters)
        if beams != nil, stream.isStream || echo {
            throw fields.failure("use_beam_search", "goes neither with stream nor with echo")
        }
        // The number of answers is the number of beams.
        samples = beams == nil ? try fields.samples(model, parameters) : 1
        placement = try RequestPlacement(fields, named, model)
        constraint = try fields.constraint(model)
        tokensAsIDs =
            try fields.bool("return_tokens_as_token_ids") ?? model.options.answers.tokensAsIDs
        returnsTokenIDs = try fields.bool("return_token_ids") ?? false
        guard beams == nil || constraint == nil else {
            throw fields.failure("use_beam_search", "does not go with structured output")
        }
        self.parameters = parameters
        prompts = try CompletionRequest.prompts(fields, model)
        let isSpecial = try fields.bool("add_special_tokens") ?? true
        // Only an echo asks.
        let beginning =
            echo && isSpecial && fields.hasTexts("prompt")
            ? try model.encode("", addSpecialTokens: true) : []
        beginsByTokenizer = !beginning.isEmpty && beginning.first == model.tokenizer.bosID
        let answers = prompts.count * (beams?.width ?? samples)
        guard answers <= model.options.limits.answers else {
            throw fields.failure(
                "n", "asks for \(answers) answers, the most are \(model.options.limits.answers)")
        }
    }

    /// Prompts: a string, a list of strings, a list of ids, or a list of lists of ids.
    static func prompts(
        _ fields: RequestFields, _ model: ServedModel, key: String = "prompt"
    ) throws(HTTPFailure) -> [[Int32]] {
        let special = try fields.bool("add_special_tokens") ?? true
        guard let node = fields[key] else { throw fields.failure(key, "is missing") }
        if case .string(let text) = node.value {
            return [try model.encodePrompt(text, addSpecialTokens: special, key)]
        }
        guard case .array(let items) = node.value, let first = items.first else {
            throw fields.failure(key, "must be a text, a list of texts, or token ids")
        }
        guard items.count <= model.options.limits.prompts || first.number != nil else {
            throw fields.failure(
                key, "holds more than \(model.options.limits.prompts) prompts")
        }
        if first.number != nil { return [try RequestFields.tokens(items, key)] }
        var prompts: [[Int32]] = []
        for item in items {
            switch item.value {
            case .string(let text):
                prompts.append(try model.encodePrompt(text, addSpecialTokens: special, key))
            case .array(let ids): prompts.append(try RequestFields.tokens(ids, key))
            default: throw fields.failure(key, "must hold texts or lists of token ids")
            }
        }
        return prompts
    }
}

extension RequestFields {
    /// Whether a field is a text or a list of texts.
    fileprivate func hasTexts(_ key: String) -> Bool {
        switch self[key]?.value {
        case .string: true
        case .array(let items): if case .string? = items.first?.value { true } else { false }
        default: false
        }
    }

    /// A number of log-probabilities; -1 for the most there may be.
    func logprobs(_ key: String, _ model: ServedModel) throws(HTTPFailure) -> Int? {
        guard let count = try int(key) else { return nil }
        return try checkedLogprobs(count, key, model)
    }

    func checkedLogprobs(
        _ count: Int, _ key: String, _ model: ServedModel
    ) throws(HTTPFailure) -> Int {
        let limit = model.options.limits.logprobs
        let most = limit < 0 ? model.engine.vocabulary : limit
        if count == -1 { return most }
        guard (0...most).contains(count) else {
            throw failure(key, "must lie in [0, \(most)], or be -1 for the most")
        }
        return count
    }

    /// A priority, where the engine looks at it.
    func priority(_ model: ServedModel) throws(HTTPFailure) -> Int {
        let priority = try int("priority") ?? 0
        guard priority == 0 || model.engine.configuration.policy == .priority else {
            throw failure("priority", "has a meaning only with --scheduling-policy priority")
        }
        return priority
    }

    /// The settings of a beam search, when one is asked for.
    fileprivate func beams(
        _ parameters: GenerationParameters
    ) throws(HTTPFailure) -> BeamSearchParameters? {
        guard try bool("use_beam_search") ?? false else { return nil }
        let width = try int("n") ?? 1
        let penalty = try number("length_penalty") ?? 1
        guard (1...32).contains(width) else {
            throw failure("n", "must lie in [1, 32] for a beam search")
        }
        return BeamSearchParameters(
            width: width, maxTokens: parameters.maxTokens, lengthPenalty: penalty,
            endTokens: parameters.endTokens, ignoreEOS: parameters.ignoreEOS,
            includeEndToken: parameters.includeStopString)
    }
}

extension ServedModel {
    /// The ids of a prompt, which is refused before others are read when it leaves no room.
    /// - Throws: `HTTPFailure`.
    fileprivate func encodePrompt(
        _ text: String, addSpecialTokens: Bool, _ parameter: String
    ) throws(HTTPFailure) -> [Int32] {
        let ids = try encode(text, addSpecialTokens: addSpecialTokens, parameter)
        _ = try answerLength(0, prompt: ids.count, parameter)
        return ids
    }

    /// How long an answer to a prompt may be: what was asked for, as far as the context holds it.
    /// - Throws: `HTTPFailure` for a prompt that leaves no room.
    func answerLength(
        _ asked: Int?, prompt: Int, within window: Int? = nil, _ parameter: String = "prompt"
    ) throws(HTTPFailure) -> Int {
        let length = window ?? maxLength
        let room = length - prompt
        guard room > 0 || (asked == 0 && room == 0) else {
            throw .badRequest(
                "the prompt has \(prompt) tokens and the context holds \(length); shorten the prompt",
                parameter: parameter)
        }
        return min(room, asked ?? options.defaults.maxTokens ?? room)
    }
}
