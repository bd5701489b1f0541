// SPDX-License-Identifier: Apache-2.0
// Conversations, written by a chat template, of which some turns are learned.
import EftConfig
import EftTokenizers

/// Rows with messages: roles and contents, in OpenAI's names, in ShareGPT's, or in those that the data set gives.
package struct Conversations: DatasetFormat {
    package static let names = ["chat_template", "sharegpt"]

    /// Lines for the user.
    package var notices: [String] { training.notices }

    private let reader: ConversationReader
    private let writer: ConversationWriter
    private let training: TurnTraining

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        guard let chat = encoder.chat else {
            throw entry.cursor.error(.badValue, "conversations need the tokenizer's folder")
        }
        let fields = try ConversationFields(entry.cursor)
        reader = ConversationReader(fields: fields)
        writer = try ConversationWriter(
            choice: ChatTemplateChoice(entry.cursor), encoder: encoder, place: entry.cursor)
        training = try TurnTraining(
            entry.cursor, roleNames: fields.roles, encoder: encoder, chat: chat,
            template: writer.templates.source)
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let conversation = try reader.conversation(row)
        do {
            let whole = try ConversationText(conversation, writer)
            let mask = try ConversationMask(
                whole, writer, training, thoughts: reader.fields.thoughts.property)
            return [TrainingExample(tokens: whole.ids, labels: mask.labels)]
        } catch let error as ChatTemplateError {
            // Another row may be one that the template takes; a template that is faulty is so for all.
            guard error.code == .request else { throw error }
            throw row.error(
                .badValue, "the chat template refuses this conversation: \(error.message)")
        }
    }
}
