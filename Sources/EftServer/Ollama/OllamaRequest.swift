// SPDX-License-Identifier: Apache-2.0
// Ollama's requests for text, read and checked.
import EftConfig
import EftGeneration

/// What `POST /api/chat` and `POST /api/generate` ask for.
struct OllamaRequest: Sendable {
    /// In which field an answer's text stands.
    enum Kind: Sendable {
        case chat
        case generate
    }

    let kind: Kind
    let placement: RequestPlacement
    let prompt: [Int32]
    /// The prompt's text as far as thoughts may begin in it; nil to leave thoughts in the answer's text.
    let thoughtsAfter: String?
    let parameters: GenerationParameters
    let constraint: CompiledConstraint?
    let tools: ToolChoice
    let isStream: Bool
    /// Entries of each token's list of likely ones; nil when no log-probabilities are requested.
    let topLogprobs: Int?
    let showsThoughts: Bool
    /// Whether the answer ends with the tokens of prompt and answer.
    let returnsContext: Bool

    /// A request for a chat's next message.
    /// - Throws: `HTTPFailure` (400).
    init(
        chat fields: RequestFields, _ messages: [ConfigNode], _ named: ServedModel.Named,
        _ model: ServedModel
    ) throws(HTTPFailure) {
        let thinking = try fields.ollamaThinking(model)
        let options = try OllamaOptions(fields, model)
        let prompt = try OllamaMessages.prompt(
            OllamaMessages.read(messages), tools: fields["tools"], arguments: thinking.arguments,
            most: try fields.bool("truncate") ?? true ? options.promptTokens : nil, model)
        try self.init(
            .chat, fields, named, model, options, prompt: prompt.tokens, thoughtsAfter: prompt.text,
            tools: prompt.tools, showsThoughts: thinking.isWanted, returnsContext: false,
            parameter: "messages")
    }

    /// A request for the continuation of a prompt.
    /// - Throws: `HTTPFailure` (400).
    init(
        generate fields: RequestFields, _ prompt: String, _ named: ServedModel.Named,
        _ model: ServedModel
    ) throws(HTTPFailure) {
        if try !(fields.string("suffix") ?? "").isEmpty {
            throw fields.failure("suffix", "is not served: the model fills in no gaps")
        }
        try fields.refuseImages()
        let options = try OllamaOptions(fields, model)
        let mayCut = try fields.bool("truncate") ?? true
        func cut(_ prompt: [Int32]) -> [Int32] { mayCut ? options.shortened(prompt) : prompt }
        let context = try fields.tokens("context") ?? []
        let system = try fields.string("system") ?? ""
        let template = try fields.string("template") ?? ""
        let thinking = try fields.ollamaThinking(model)
        if try fields.bool("raw") ?? false {
            guard context.isEmpty, system.isEmpty, template.isEmpty else {
                throw fields.failure("raw", "does not go with system, template or context")
            }
            try self.init(
                .generate, fields, named, model, options,
                prompt: cut(model.encode(prompt, addSpecialTokens: true)), thoughtsAfter: nil,
                showsThoughts: true, returnsContext: false)
            return
        }
        guard template.isEmpty || model.options.trustsRequestTemplates else {
            throw fields.failure(
                "template",
                "is not rendered here; start the server with --trust-request-chat-template for templates in "
                    + "Jinja")
        }
        guard model.templates != nil else {
            // A model without a template takes the texts as they are, as Ollama's own default does.
            let text = system.isEmpty ? prompt : system + "\n" + prompt
            let tokens = try model.encode(text, addSpecialTokens: context.isEmpty)
            try self.init(
                .generate, fields, named, model, options, prompt: cut(context + tokens),
                thoughtsAfter: text,
                showsThoughts: thinking.isWanted, returnsContext: true)
            return
        }
        var messages: [ConfigNode] = [["role": "user", "content": ConfigNode(prompt)]]
        if !system.isEmpty {
            messages.insert(["role": "system", "content": ConfigNode(system)], at: 0)
        }
        let body = OllamaMessages.body(
            messages, template: template.isEmpty ? nil : template, arguments: thinking.arguments)
        let rendered = try ChatPrompt(RequestFields(body), model)
        try self.init(
            .generate, fields, named, model, options, prompt: cut(context + rendered.tokens),
            thoughtsAfter: rendered.text, showsThoughts: thinking.isWanted, returnsContext: true)
    }

    private init(
        _ kind: Kind, _ fields: RequestFields, _ named: ServedModel.Named, _ model: ServedModel,
        _ options: OllamaOptions, prompt: [Int32], thoughtsAfter: String?, tools: [ConfigNode] = [],
        showsThoughts: Bool,
        returnsContext: Bool, parameter: String = "prompt"
    ) throws(HTTPFailure) {
        self.kind = kind
        self.prompt = prompt
        self.thoughtsAfter = thoughtsAfter
        self.showsThoughts = showsThoughts
        self.returnsContext = returnsContext
        var parameters = options.parameters
        parameters.maxTokens = try model.answerLength(
            options.maxTokens, prompt: prompt.count, within: options.window, parameter)
        topLogprobs = try fields.ollamaLogprobs(model)
        parameters.logprobs = topLogprobs
        self.tools = try ToolChoice(
            RequestFields(ConfigNode(ConfigObject())), tools: tools, model)
        // Some models mark their calls by special tokens.
        if self.tools.format != nil { parameters.skipSpecialTokens = false }
        self.parameters = parameters
        constraint = try fields.ollamaConstraint(model)
        isStream = try fields.ollamaStream()
        placement = try RequestPlacement(fields, named, model)
    }

    /// The answer to a request that only loads the model, or gives it up.
    static func loaded(
        _ kind: Kind, _ fields: RequestFields, _ named: ServedModel.Named
    ) throws(HTTPFailure) -> Response {
        var object: ConfigObject = [
            "model": ConfigNode(named.name), "created_at": ConfigNode(Timestamp.now),
        ]
        switch kind {
        case .chat: object["message"] = ["role": "assistant", "content": ""]
        case .generate: object["response"] = ""
        }
        object["done_reason"] = try fields.ollamaUnloads() ? "unload" : "load"
        object["done"] = true
        return .json(ConfigNode(object))
    }
}
