// SPDX-License-Identifier: Apache-2.0
// Whole conversations with a better and a worse answer, written by a chat template.
import EftConfig
import EftTokenizers

/// The type `bradley_terry.chat_template` of Axolotl, and rows of messages as TRL has them. A reward model reads all that
/// the template writes, to its last token.
struct ScoredConversations: RowFormat {
    /// Its names in configurations.
    static let names = ["chat_template", "chat_template.default"]
        .map { RewardRegistry.prefix + $0 }
    /// Fields that may hold the question.
    private static let questions = ["input", "prompt", "question", "instruction"]

    private let reader: ConversationReader
    private let writer: ConversationWriter
    private let answers: [String]

    init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        let cursor = entry.cursor
        reader = ConversationReader(fields: try ConversationFields(cursor))
        writer = try ConversationWriter(
            choice: ChatTemplateChoice(cursor), encoder: encoder, place: cursor)
        answers = [
            try cursor.text("field_chosen") ?? "chosen",
            try cursor.text("field_rejected") ?? "rejected",
        ]
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        [try example(row)]
    }

    /// The better and the worse conversation of a row.
    func example(_ row: ConfigCursor) throws -> TrainingExample {
        let sequences = try answers.map { name in
            let answer = try row.firstField([name])
            return TrainingExample(tokens: try ids(row, turns(row, answer)))
        }
        return TrainingExample(answers: sequences, isDesirable: nil)
    }

    /// The tokens of a row's only conversation: its messages, or a question and its `completion`.
    func single(_ row: ConfigCursor) throws -> [Int32] {
        if let answer = try row.optional("completion") {
            return try ids(row, turns(row, answer))
        }
        return try ids(row, reader.conversation(row).turns)
    }

    private func ids(_ row: ConfigCursor, _ turns: [ConversationTurn]) throws -> [Int32] {
        do {
            return try writer.ids(
                writer.text(turns.map(\.message), tools: reader.tools(row)))
        } catch let error as ChatTemplateError {
            guard error.code == .request else { throw error }
            throw row.error(
                .badValue, "the chat template refuses this conversation: \(error.message)")
        }
    }

    /// All messages: the row's system message and question, where the answer's own list has none, and the answer.
    private func turns(
        _ row: ConfigCursor, _ answer: ConfigCursor
    ) throws(ConfigError) -> [ConversationTurn] {
        var turns: [ConversationTurn]
        if case .array = answer.node.value {
            turns = try messages(answer)
        } else {
            turns = [Self.turn("assistant", answer, try answer.string())]
        }
        if !turns.contains(where: { $0.role == "user" }) { turns = try question(row) + turns }
        guard turns.last?.role == "assistant" else {
            throw answer.error(.badValue, "the last message is not an answer of the assistant")
        }
        if turns.first?.role != "system", !reader.fields.dropsSystem,
            let system = try row.optional("system"), try !system.string().isEmpty
        {
            turns.insert(Self.turn("system", system, try system.string()), at: 0)
        }
        return turns
    }

    private func question(_ row: ConfigCursor) throws(ConfigError) -> [ConversationTurn] {
        let field = try row.firstField(Self.questions)
        if case .array = field.node.value { return try messages(field) }
        return [Self.turn("user", field, try field.string())]
    }

    private static func turn(
        _ role: String, _ place: ConfigCursor, _ content: String
    ) -> ConversationTurn {
        ConversationTurn(
            message: ["role": ConfigNode(role), "content": ConfigNode(content)], place: place)
    }

    /// A list of messages, by the names that the data set gives to their properties.
    private func messages(_ list: ConfigCursor) throws(ConfigError) -> [ConversationTurn] {
        var fields = reader.fields
        fields.messages = "messages"
        let row = ConfigNode(.object(["messages": list.node]), line: list.node.line)
        return try ConversationReader(fields: fields).conversation(
            ConfigCursor(row, file: list.file, keyPath: list.keyPath)
        ).turns
    }
}
