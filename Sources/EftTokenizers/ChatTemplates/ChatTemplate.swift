// SPDX-License-Identifier: Apache-2.0
// A model's chat template: messages and tools as the prompt that the model was trained on.

import EftConfig
import EftJinja

/// What a prompt is made of.
package struct ChatInput: Sendable {
    /// The messages, each a mapping with a role, as in OpenAI's interface.
    package var messages: [ConfigNode]
    /// Descriptions of tools, each a mapping; nil for none.
    package var tools: [ConfigNode]?
    /// Documents to answer from, each a mapping; nil for none.
    package var documents: [ConfigNode]?
    /// Whether the prompt ends where the assistant's answer begins.
    package var addGenerationPrompt: Bool
    /// Whether the prompt ends inside the last message, which the model goes on with.
    package var continueFinalMessage: Bool
    /// Further values for the template; they may not replace those that have a meaning.
    package var extra: ConfigObject
    /// The form in which the template gets contents.
    package var contentFormat: ChatContentFormat

    /// Makes an input.
    package init(
        messages: [ConfigNode], tools: [ConfigNode]? = nil, documents: [ConfigNode]? = nil,
        addGenerationPrompt: Bool = true, continueFinalMessage: Bool = false,
        extra: ConfigObject = ConfigObject(), contentFormat: ChatContentFormat = .automatic
    ) {
        self.messages = messages
        self.tools = tools
        self.documents = documents
        self.addGenerationPrompt = addGenerationPrompt
        self.continueFinalMessage = continueFinalMessage
        self.extra = extra
        self.contentFormat = contentFormat
    }
}

/// The form of a message's content.
package enum ChatContentFormat: String, Sendable, Hashable {
    /// Whatever the template seems to expect.
    case automatic = "auto"
    /// One text.
    case string
    /// A list of parts, each with a type.
    case parts = "openai"
    /// As it was given.
    case given
}

/// A chat template, ready to be rendered.
package struct ChatTemplate: Sendable {
    /// The form of contents that the template expects: parts when it has a loop over a content.
    package let contentFormat: ChatContentFormat
    /// Whether the template speaks of tools.
    package let takesTools: Bool
    private let template: Template
    private let file: String?
    private let specialTokens: SpecialTokenTexts

    /// Reads a template.
    /// - Throws: `ChatTemplateError` (`template`, `limit`).
    package init(
        _ source: String, file: String? = nil, specialTokens: SpecialTokenTexts
    ) throws(ChatTemplateError) {
        do {
            template = try Template(source)
        } catch { throw ChatTemplateError(error, file: file, isRendering: false) }
        self.file = file
        self.specialTokens = specialTokens
        contentFormat = template.loops(overEntry: "content") ? .parts : .string
        takesTools = template.mentions("tools")
    }

    /// Whether the template asks for a further value, such as `enable_thinking`.
    package func asks(for name: String) -> Bool { template.mentions(name) }

    /// The prompt.
    /// - Parameters:
    ///   - limits: how much the template may do.
    ///   - now: seconds since 1970 for templates that print the date; nil takes the clock's.
    /// - Throws: `ChatTemplateError` (`request` for values that the template refuses, `template`, `limit`).
    package func render(
        _ input: ChatInput, limits: TemplateLimits = TemplateLimits(), now: Int? = nil
    ) throws(ChatTemplateError) -> String {
        guard !(input.addGenerationPrompt && input.continueFinalMessage) else {
            throw ChatTemplateError(
                .request,
                "add_generation_prompt and continue_final_message exclude each other")
        }
        let format = input.contentFormat == .automatic ? contentFormat : input.contentFormat
        var messages = try ChatMessages.prepared(input.messages, format: format)
        guard input.continueFinalMessage else {
            return try rendered(messages, input, limits, now)
        }
        let continuation = try Continuation(of: &messages)
        return try continuation.cut(try rendered(messages, input, limits, now))
    }

    private func rendered(
        _ messages: [ConfigNode], _ input: ChatInput, _ limits: TemplateLimits, _ now: Int?
    ) throws(ChatTemplateError) -> String {
        try refuseReservedNames(in: input.extra)
        do {
            var context = TemplateDictionary()
            for (name, node) in input.extra.entries {
                try context.set(name, try TemplateValue(node))
            }
            for (name, text) in specialTokens.texts { try context.set(name, .string(text)) }
            try context.set("messages", try TemplateValue(ConfigNode(messages)))
            try context.set("tools", try Self.list(input.tools))
            try context.set("documents", try Self.list(input.documents))
            try context.set("add_generation_prompt", .bool(input.addGenerationPrompt))
            return try template.render(context, limits: limits, now: now)
        } catch { throw ChatTemplateError(error, file: file, isRendering: true) }
    }

    private static func list(_ nodes: [ConfigNode]?) throws(TemplateError) -> TemplateValue {
        guard let nodes else { return .null }
        return try TemplateValue(ConfigNode(nodes))
    }

    // MARK: Names with a meaning

    /// Names that a request may not set: they would pass by what the request was checked for.
    private static let reservedNames: Set<String> = Set(
        [
            "messages", "tools", "documents", "add_generation_prompt", "continue_final_message",
            "chat_template", "conversation", "tokenize", "return_dict", "return_tensors",
            "return_assistant_tokens_mask", "tokenizer_kwargs",
        ] + SpecialTokenTexts.names + Template.globalNames)

    private func refuseReservedNames(in extra: ConfigObject) throws(ChatTemplateError) {
        for name in extra.keys where Self.reservedNames.contains(name) {
            throw ChatTemplateError(
                .request, "chat_template_kwargs may not set '\(name)'")
        }
    }
}
