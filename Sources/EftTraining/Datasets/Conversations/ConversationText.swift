// SPDX-License-Identifier: Apache-2.0
// A conversation as its template writes it, with its tokens.
import EftConfig
import EftTokenizers

/// Writes conversations by a template.
struct ConversationWriter: Sendable {
    let tokenizer: Tokenizer
    let templates: ChatTemplates
    let values: ConfigObject

    /// The text of some messages.
    /// - Parameter addGenerationPrompt: whether it ends where an answer begins.
    /// - Throws: `ChatTemplateError`.
    func text(
        _ messages: [ConfigObject], tools: [ConfigNode]?, addGenerationPrompt: Bool = false
    ) throws(ChatTemplateError) -> [UInt8] {
        let template = try templates.template(hasTools: tools != nil)
        let input = ChatInput(
            messages: messages.map { ConfigNode($0) }, tools: tools,
            addGenerationPrompt: addGenerationPrompt, extra: values, contentFormat: .given)
        return Array(try template.render(input).utf8)
    }

    /// The ids of a text, with nothing put around it: templates write what belongs there.
    /// - Throws: `TokenizerError`.
    func ids(_ text: [UInt8]) throws(TokenizerError) -> [Int32] {
        try tokenizer.encode(String(decoding: text, as: UTF8.self), addSpecialTokens: false)
    }
}

extension ConversationWriter {
    /// A writer by the template that a data set names, or else the run, or else the tokenizer.
    /// - Parameters:
    ///   - choice: what the data set names.
    ///   - place: for messages.
    /// - Throws: `ConfigError` where there is no template; `ChatTemplateError` for one that cannot be used.
    init(choice: ChatTemplateChoice?, encoder: PromptEncoder, place: ConfigCursor) throws {
        guard let chat = encoder.chat else {
            throw place.error(.badValue, "conversations need the tokenizer's folder")
        }
        let choice =
            choice.flatMap { $0 == .tokenizer ? nil : $0 } ?? chat.settings.template ?? .tokenizer
        let templates: ChatTemplates
        do throws(ChatTemplateError) {
            templates = try chat.templates(choice)
        } catch {
            guard error.code == .missing else { throw error }
            throw place.error(
                .badValue,
                "the tokenizer has no chat template (\(error.file ?? "")); name one by chat_template: chatml, "
                    + "llama3, ..., or give its text as chat_template_jinja")
        }
        self.init(
            tokenizer: chat.tokenizer, templates: templates, values: chat.settings.templateValues)
    }
}

/// A conversation's text and tokens.
struct ConversationText {
    let conversation: Conversation
    let text: [UInt8]
    let ids: [Int32]
    /// The bytes of each token; nil where the tokenizer changed the text.
    let places: [Range<Int>]?

    /// - Throws: `ChatTemplateError`, `TokenizerError`.
    init(_ conversation: Conversation, _ writer: ConversationWriter) throws {
        self.conversation = conversation
        text = try writer.text(conversation.turns.map(\.message), tools: conversation.tools)
        ids = try writer.ids(text)
        places = writer.tokenizer.places(of: ids, in: text)
    }

    /// The tokens that stand for bytes of a range, wholly or in part; nil when places are not known.
    func tokens(in bytes: Range<Int>) -> Range<Int>? {
        guard let places else { return nil }
        let first = places.partitioningIndex { $0.upperBound > bytes.lowerBound }
        let end = places.partitioningIndex { $0.lowerBound >= bytes.upperBound }
        return first..<max(first, end)
    }
}

extension Array {
    /// The first place from which on a condition holds, when it holds from some place on.
    fileprivate func partitioningIndex(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
