// SPDX-License-Identifier: Apache-2.0
// Rows with prompts that a model completes while it is trained.
import EftConfig
import EftTokenizers

/// Rows with a `prompt`, as a text that is used as it is or as a list of messages, or with `messages`, of which those after the
/// last question are left out. The whole row goes to the commands that reward completions.
struct RolloutPrompts: RowFormat {
    static let names = ["chat_template", "chat_template.default", "passthrough"]

    private let entry: DatasetEntry
    private let reader: ConversationReader

    /// - Throws: `ConfigError` for a type that is none of these.
    init(_ entry: DatasetEntry) throws {
        self.entry = entry
        reader = ConversationReader(fields: try ConversationFields(entry.cursor))
        guard let type = entry.type else { return }
        guard case .string(let name) = type.node.value, Self.names.contains(name) else {
            throw type.error(
                .badValue,
                "prompts are rows with a field prompt, or with messages; the type is chat_template, and functions of "
                    + "Python that transform rows are not called")
        }
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        guard case .object(var object) = row.node.value else {
            throw row.error(.wrongType, "a row is an object")
        }
        var example: TrainingExample
        if let prompt = try row.optional("prompt"), case .string(let text) = prompt.node.value {
            example = Self.example(try encoder.promptIDs(text))
        } else {
            let turns = try turns(row)
            let writer = try ConversationWriter(
                choice: ChatTemplateChoice(entry.cursor), encoder: encoder, place: entry.cursor)
            do {
                example = Self.example(
                    try writer.ids(
                        writer.text(
                            turns.map(\.message), tools: reader.tools(row),
                            addGenerationPrompt: true)))
            } catch let error as ChatTemplateError {
                guard error.code == .request else { throw error }
                throw row.error(
                    .badValue, "the chat template refuses this conversation: \(error.message)")
            }
            object["prompt"] = ConfigNode(.array(turns.map { ConfigNode($0.message) }))
        }
        guard !example.tokens.isEmpty else { throw row.error(.badValue, "the prompt is empty") }
        example.row = JSONWriter.text(ConfigNode(object))
        return [example]
    }

    /// A prompt, of which nothing is learned.
    private static func example(_ tokens: [Int32]) -> TrainingExample {
        TrainingExample(
            tokens: tokens,
            labels: [Int32](repeating: TrainingExample.ignoreIndex, count: tokens.count))
    }

    /// The messages up to the last one that is no answer.
    private func turns(_ row: ConfigCursor) throws(ConfigError) -> [ConversationTurn] {
        var reader = reader
        if try row.optional("prompt") != nil {
            var fields = reader.fields
            fields.messages = "prompt"
            reader = ConversationReader(fields: fields)
        }
        var turns = try reader.conversation(row).turns
        while turns.last?.role == "assistant" { turns.removeLast() }
        guard !turns.isEmpty else {
            throw row.error(.badValue, "there is no message to answer")
        }
        return turns
    }
}
