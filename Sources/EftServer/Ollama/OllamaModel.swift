// SPDX-License-Identifier: Apache-2.0
// A model as Ollama's lists show it, and its work for Ollama's routes.
import EftConfig
import EftGeneration

extension ServedModel {
    // MARK: Work

    /// Hands a request for text to the engine.
    /// - Throws: `HTTPFailure`.
    func submit(_ request: OllamaRequest, _ responder: Responder) throws {
        let answer = OllamaAnswer(request, self, responder)
        var engine = request.placement.request(
            request.prompt, request.parameters,
            try AnswerSink(
                prompt: 0, samples: 1, request.parameters, tokenizer, answer))
        engine.constraint = request.constraint
        try submit([engine], responder)
    }

    /// The tokens of a text that is to become a vector.
    /// - Parameter isCut: whether what is beyond the context is left out; otherwise it is refused.
    func embeddedPrompt(
        _ text: String, _ parameter: String, isCut: Bool
    ) throws(HTTPFailure) -> [Int32] {
        let tokens = try encode(text, addSpecialTokens: true, parameter)
        guard !tokens.isEmpty else {
            throw .badRequest("\(parameter) has a text without tokens", parameter: parameter)
        }
        guard isCut || tokens.count <= maxLength else {
            throw .badRequest(
                "\(parameter) has a text of \(tokens.count) tokens, and the context holds \(maxLength)",
                parameter: parameter)
        }
        return Array(tokens.prefix(maxLength))
    }

    /// Answers with the vectors of texts.
    /// - Throws: `HTTPFailure`.
    func embed(
        _ prompts: [[Int32]], _ named: Named, dimensions: Int?, _ responder: Responder,
        node: @escaping @Sendable ([[Float]]) -> ConfigNode
    ) throws(HTTPFailure) {
        guard !prompts.isEmpty else {
            responder.respond(.json(node([])))
            return
        }
        let answer = EmbeddingAnswer(
            prompts, self, responder, dimensions: dimensions, node: node)
        try submit(answer.requests(RequestPlacement(named, salt: ""), .mean), responder)
    }

    // MARK: Lists

    /// When the model's files were written.
    var ollamaModified: String {
        Timestamp.text(
            seconds: options.facts.modified > 0 ? options.facts.modified : options.created)
    }

    /// What all lists show of a model.
    func ollamaEntry(_ name: String, parent: String?) -> ConfigObject {
        [
            "name": ConfigNode(name), "model": ConfigNode(name),
            "size": ConfigNode(options.facts.byteCount),
            "digest": ConfigNode(options.facts.digest), "details": ollamaDetails(parent: parent),
        ]
    }

    /// Format, family and sizes.
    func ollamaDetails(parent: String?) -> ConfigNode {
        let facts = options.facts
        return [
            "parent_model": ConfigNode(parent ?? ""), "format": ConfigNode(facts.format),
            "family": ConfigNode(facts.family), "families": [ConfigNode(facts.family)],
            "parameter_size": ConfigNode(facts.size),
            "quantization_level": ConfigNode(facts.weights),
        ]
    }

    /// Extents, under GGUF's names. The context is what a request can hold here.
    var ollamaInfo: ConfigNode {
        let facts = options.facts
        var object: ConfigObject = [
            "general.architecture": ConfigNode(facts.family), "general.basename": ConfigNode(name),
            "general.parameter_count": ConfigNode(facts.parameters),
            "\(facts.family).context_length": ConfigNode(maxLength),
        ]
        for (key, value) in facts.extents { object["\(facts.family).\(key)"] = ConfigNode(value) }
        return ConfigNode(object)
    }

    /// What requests may ask for.
    var ollamaCapabilities: ConfigNode {
        var words = ["completion"]
        if options.toolCalls != nil { words.append("tools") }
        if options.reasoning != nil { words.append("thinking") }
        return ConfigNode(words)
    }

    /// The settings of requests that say nothing.
    var ollamaSettings: [(key: String, value: String)] {
        let defaults = options.ollamaDefaults
        var settings = [
            ("temperature", "\(defaults.temperature)"), ("top_k", "\(defaults.topK)"),
            ("top_p", "\(defaults.topP)"), ("min_p", "\(defaults.minP)"),
            ("repeat_penalty", "\(defaults.repetitionPenalty)"),
        ]
        for id in tokenizer.eosIDs.sorted() {
            if let text = tokenizer.token(for: id) { settings.append(("stop", "\"\(text)\"")) }
        }
        return settings
    }

    /// The same as Ollama's file of a model.
    func ollamaModelfile(_ name: String) -> String {
        var lines = ["FROM \(name)"]
        lines += ollamaSettings.map { "PARAMETER \($0.key) \($0.value)" }
        if let source = templates?.source {
            lines.append("TEMPLATE \"\"\"\(source)\"\"\"")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
