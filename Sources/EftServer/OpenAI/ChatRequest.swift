// SPDX-License-Identifier: Apache-2.0
// A request for a chat's next message, read and checked.
import EftConfig
import EftGeneration

/// What `POST /v1/chat/completions` asks for.
struct ChatRequest: Sendable {
    let placement: RequestPlacement
    let prompt: ChatPrompt
    let parameters: GenerationParameters
    let samples: Int
    let constraint: CompiledConstraint?
    /// Entries of each token's list of likely ones; nil when no log-probabilities were asked for.
    let topLogprobs: Int?
    let promptLogprobs: Int?
    let stream: (isStream: Bool, usage: Bool, always: Bool)
    let tokensAsIDs: Bool
    let returnsTokenIDs: Bool
    let tools: ToolChoice
    /// Whether answers show thoughts.
    let includesReasoning: Bool

    /// - Throws: `HTTPFailure` (400, 404).
    init(_ body: ConfigNode, _ model: ServedModel) throws(HTTPFailure) {
        let fields = try RequestFields(body)
        let named = try model.named(fields)
        try fields.refuseGone()
        stream = try fields.streamOptions(model)
        let prompt = try ChatPrompt(fields, model)
        self.prompt = prompt
        var parameters = try fields.parameters(model)
        let (newer, older) = (
            try fields.int("max_completion_tokens"), try fields.int("max_tokens")
        )
        let asked = newer ?? older
        if let asked, asked < 1 {
            throw fields.failure(
                newer == nil ? "max_tokens" : "max_completion_tokens",
                "must be at least 1; found \(asked)")
        }
        parameters.maxTokens = try model.answerLength(
            asked, prompt: prompt.tokens.count, "messages")
        if let asked { try fields.checkLeast(parameters, most: asked) }
        parameters.minTokens = min(parameters.minTokens, parameters.maxTokens)
        topLogprobs = try ChatRequest.topLogprobs(fields, model)
        promptLogprobs = try fields.logprobs("prompt_logprobs", model)
        if promptLogprobs != nil, stream.isStream {
            throw fields.failure("prompt_logprobs", "cannot be streamed")
        }
        parameters.logprobs = topLogprobs
        parameters.promptLogprobs = promptLogprobs
        samples = try fields.samples(model, parameters)
        placement = try RequestPlacement(fields, named, model)
        tools = try ToolChoice(fields, tools: prompt.tools, model)
        let (form, call) = (try fields.constraint(model), try tools.constraint(model))
        guard form == nil || call == nil else {
            throw fields.failure(
                "response_format", "and a forced call of a tool exclude each other")
        }
        constraint = form ?? call
        // Some models mark their calls by special tokens.
        if tools.format != nil { parameters.skipSpecialTokens = false }
        includesReasoning = try fields.bool("include_reasoning") ?? true
        tokensAsIDs =
            try fields.bool("return_tokens_as_token_ids") ?? model.options.answers.tokensAsIDs
        returnsTokenIDs = try fields.bool("return_token_ids") ?? false
        self.parameters = parameters
    }

    private static func topLogprobs(
        _ fields: RequestFields, _ model: ServedModel
    ) throws(HTTPFailure) -> Int? {
        let top = try fields.int("top_logprobs") ?? 0
        guard try fields.bool("logprobs") ?? false else {
            guard top == 0 else {
                throw fields.failure("top_logprobs", "has a meaning only with logprobs: true")
            }
            return nil
        }
        return try fields.checkedLogprobs(top, "top_logprobs", model)
    }
}
