// SPDX-License-Identifier: Apache-2.0
// From messages to a prompt.
import EftConfig
import EftTokenizers

/// The messages of a request, and how they become a prompt.
struct ChatPrompt: Sendable {
    /// The prompt as text.
    let text: String
    /// The prompt as tokens.
    let tokens: [Int32]
    /// The text of the last message, when the model goes on with it and the answer is to repeat it.
    let echo: String
    /// The names of the tools, and their descriptions.
    let tools: [ConfigNode]

    /// - Throws: `HTTPFailure` for messages that cannot be rendered.
    init(_ fields: RequestFields, _ model: ServedModel) throws(HTTPFailure) {
        guard let messages = try fields.array("messages"), !messages.isEmpty else {
            throw fields.failure("messages", "must hold at least one message")
        }
        tools = try ChatPrompt.tools(fields)
        let isHidden =
            model.options.answers.hidesUncallableTools
            && fields["tool_choice"]?.value == .string("none")
        let shown = isHidden ? [] : tools
        var input = ChatInput(messages: messages)
        input.tools = shown.isEmpty ? nil : shown
        input.documents = try fields.array("documents")
        input.addGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        input.continueFinalMessage = try fields.bool("continue_final_message") ?? false
        if input.continueFinalMessage, fields["add_generation_prompt"] == nil {
            input.addGenerationPrompt = false
        }
        input.extra = model.options.answers.templateArguments
        for entry in try fields.fields("chat_template_kwargs")?.object.entries ?? [] {
            input.extra[entry.key] = entry.node
        }
        let template = try ChatPrompt.template(fields, model, hasTools: !shown.isEmpty)
        do {
            text = try template.render(input)
        } catch {
            throw .badRequest("the messages cannot be rendered: \(error.message)")
        }
        let special = try fields.bool("add_special_tokens") ?? false
        tokens = try model.encode(text, addSpecialTokens: special)
        echo = try ChatPrompt.echo(fields, messages)
    }

    private static func tools(_ fields: RequestFields) throws(HTTPFailure) -> [ConfigNode] {
        guard let tools = try fields.array("tools") else { return [] }
        guard !tools.isEmpty, tools.count <= 128 else {
            throw fields.failure("tools", "must hold 1 to 128 tools, or be left out")
        }
        for (place, tool) in tools.enumerated() {
            let tool = try RequestFields(tool, path: "tools[\(place)]")
            guard try tool.string("type") == "function",
                let function = try tool.fields("function"),
                let name = try function.string("name"), !name.isEmpty, name.utf8.count <= 256
            else {
                throw tool.failure("function", "must name a function, with the type 'function'")
            }
        }
        return tools
    }

    private static func template(
        _ fields: RequestFields, _ model: ServedModel, hasTools: Bool
    ) throws(HTTPFailure) -> ChatTemplate {
        if try fields.string("chat_template") != nil, !model.options.trustsRequestTemplates {
            throw fields.failure(
                "chat_template",
                "is not rendered here; start the server with --trust-request-chat-template")
        }
        guard let templates = model.templates else {
            throw .badRequest(
                "this model has no chat template; use /v1/completions, or give the server one with "
                    + "--chat-template")
        }
        do {
            if let source = try fields.string("chat_template") {
                return try templates.template(source: source)
            }
            return try templates.template(hasTools: hasTools)
        } catch let failure as HTTPFailure {
            throw failure
        } catch {
            throw .badRequest("the chat template cannot be used: \(error)")
        }
    }

    /// The last message's text, when `echo` asks for it and it is the assistant's.
    private static func echo(
        _ fields: RequestFields, _ messages: [ConfigNode]
    ) throws(HTTPFailure) -> String {
        guard try fields.bool("echo") ?? false, let last = messages.last else { return "" }
        let message = try RequestFields(last, path: "messages[\(messages.count - 1)]")
        guard try message.string("role") == "assistant",
            case .string(let text)? = message["content"]?.value
        else { return "" }
        return text
    }
}
