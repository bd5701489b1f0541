// SPDX-License-Identifier: Apache-2.0
// Conversations with answers that are preferred or not, written by a chat template.
import EftConfig
import EftTokenizers

/// The types `chat_template.*` of Axolotl, and rows of messages as TRL has them.
struct MessagePreferences: RowFormat {
    static let names = [
        "chat_template", "chat_template.default", "chat_template.argilla",
        "chat_template.argilla_chat",
    ]

    private let kind: AnswerKind
    private let reader: ConversationReader
    private let writer: ConversationWriter
    private let answerFields: [String]
    private let labelField: String

    init(_ entry: DatasetEntry, _ kind: AnswerKind, _ encoder: PromptEncoder) throws {
        let cursor = entry.cursor
        self.kind = kind
        reader = ConversationReader(fields: try ConversationFields(cursor))
        writer = try ConversationWriter(
            choice: ChatTemplateChoice(cursor), encoder: encoder, place: cursor)
        answerFields =
            kind == .pairs
            ? [
                try cursor.text("field_chosen") ?? "chosen",
                try cursor.text("field_rejected") ?? "rejected",
            ] : [try cursor.text("field_completion") ?? "completion"]
        labelField = try cursor.text("field_label") ?? "label"
    }

    /// The usual fields and the tokenizer's template.
    init(_ kind: AnswerKind, _ encoder: PromptEncoder, _ row: ConfigCursor) throws {
        self.kind = kind
        let entry = ConfigCursor(ConfigNode(.object(ConfigObject())), file: row.file)
        reader = ConversationReader(fields: try ConversationFields(entry))
        writer = try ConversationWriter(choice: nil, encoder: encoder, place: row)
        answerFields = kind == .pairs ? ["chosen", "rejected"] : ["completion"]
        labelField = "label"
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        let answers = try answerFields.map { try row.firstField([$0]) }
        let prompt = try prompt(row, answers[0])
        do {
            let begun = try writer.text(
                prompt.turns.map(\.message), tools: prompt.tools, addGenerationPrompt: true)
            let texts = try answers.map { try text($0) }
            return [
                try PreferenceTexts(
                    prompt: String(decoding: begun, as: UTF8.self), answers: texts,
                    isDesirable: kind == .single ? try row.label(labelField) : nil
                ).example(encoder)
            ]
        } catch let error as ChatTemplateError {
            guard error.code == .request else { throw error }
            throw row.error(
                .badValue, "the chat template refuses this conversation: \(error.message)")
        }
    }

    /// The conversation before the answer: the row's messages, those before a list's last one, or a prompt.
    private func prompt(
        _ row: ConfigCursor, _ answer: ConfigCursor
    ) throws(ConfigError) -> Conversation {
        let names = reader.fields.messages.map { [$0] } ?? ["messages", "conversations"]
        for name in names where try row.optional(name) != nil {
            return try reader.conversation(row)
        }
        var system: ConversationTurn?
        if let cursor = try row.optional("system"), try !cursor.string().isEmpty {
            system = Self.turn("system", cursor, try cursor.string())
        }
        let turns: [ConversationTurn]
        if let prompt = try row.optional("prompt") {
            if case .array = prompt.node.value {
                turns = try messages(prompt.node, prompt)
            } else {
                turns = [Self.turn("user", prompt, try prompt.string())]
            }
        } else if case .array(let items) = answer.node.value, items.count > 1 {
            turns = try messages(ConfigNode(.array(Array(items.dropLast()))), answer)
        } else {
            throw row.error(
                .missingKey, "the row has no messages before the answer, and no field 'prompt'")
        }
        return Conversation(
            turns: (system.map { [$0] } ?? []) + turns, tools: try reader.tools(row))
    }

    private static func turn(
        _ role: String, _ place: ConfigCursor, _ content: String
    ) -> ConversationTurn {
        ConversationTurn(
            message: ["role": ConfigNode(role), "content": ConfigNode(content)], place: place)
    }

    /// A list of messages, by the names that the data set gives to their properties.
    private func messages(
        _ list: ConfigNode, _ place: ConfigCursor
    ) throws(ConfigError) -> [ConversationTurn] {
        var fields = reader.fields
        fields.messages = "messages"
        let row = ConfigNode(.object(["messages": list]), line: place.node.line)
        return try ConversationReader(fields: fields).conversation(
            ConfigCursor(row, file: place.file, keyPath: place.keyPath)
        ).turns
    }

    /// What the template writes of an answer, without white space at the end, as Axolotl has it.
    private func text(_ answer: ConfigCursor) throws -> String {
        let turn: ConversationTurn?
        switch answer.node.value {
        case .string(let text): turn = Self.turn("assistant", answer, text)
        case .array: turn = try messages(answer.node, answer).last
        default: turn = try messages(ConfigNode(.array([answer.node])), answer).last
        }
        guard let turn, let content = turn.text("content"), !content.isEmpty else {
            throw answer.error(.badValue, "the answer is empty")
        }
        let question = Self.turn("user", answer, "[[dummy_message]]").message
        let begun = try writer.text([question], tools: nil, addGenerationPrompt: true)
        let written = try writer.text([question, turn.message], tools: nil)
        if written.starts(with: begun) {
            return String(decoding: written[begun.count...], as: UTF8.self).trimmedAtEnd
        }
        // Templates may write more in front of an answer than they do where one begins; many strip contents.
        for wanted in [content, content.trimmed] {
            if let place = written.place(of: Array(wanted.utf8)) {
                return String(decoding: written[place...], as: UTF8.self).trimmedAtEnd
            }
        }
        throw answer.error(.badValue, "the chat template does not write the answer as it is")
    }
}

extension [UInt8] {
    /// Where a run of bytes begins for the last time; nil where it does not occur.
    fileprivate func place(of wanted: [UInt8]) -> Int? {
        guard !wanted.isEmpty, count >= wanted.count else { return nil }
        return (0...count - wanted.count).last {
            self[$0] == wanted[0] && self[$0..<$0 + wanted.count].elementsEqual(wanted)
        }
    }
}

extension String {
    fileprivate var trimmedAtEnd: String {
        var result = Substring(self)
        while let last = result.last, last.isWhitespace { result.removeLast() }
        return String(result)
    }

    fileprivate var trimmed: String {
        String(Substring(self).drop { $0.isWhitespace }).trimmedAtEnd
    }
}
