// SPDX-License-Identifier: Apache-2.0
// Rows of a file that a trained model is to score.
import EftConfig
import EftFormats
import EftModels
import EftTokenizers

/// Reads rows as training reads them, and rows of which nothing is known but the text.
package struct ScoredRows: Sendable {
    /// The rows as examples.
    package let examples: [TrainingExample]
    /// Whether every row says what its scores should be.
    package let areLabelled: Bool

    /// How rows are read.
    package struct Options: Sendable, Hashable {
        /// The file of a chat template; the tokenizer's where nil.
        package var templateFile: String?
        /// What stands behind each step.
        package var stepSeparator = "\n"

        /// The tokenizer's template, and steps in lines.
        package init() {}
    }

    /// Reads a file.
    ///
    /// A text head takes `chosen` and `rejected` with a question as training has them, `messages`, a question with
    /// `completion`, or a whole `text`; a head for steps takes `prompt`, `completions` and maybe `labels`.
    /// - Parameter folder: the folder of the tokenizer.
    /// - Throws: `ConfigError` with file, line and field; `ChatTemplateError`, `TokenizerError`, `FormatError`.
    package init(
        _ path: String, head: ScoreHead, tokenizer: Tokenizer, folder: String, options: Options
    ) throws {
        var keys: ConfigObject = [
            "path": ConfigNode(path), "step_separator": ConfigNode(options.stepSeparator),
        ]
        if let file = options.templateFile { keys["chat_template_jinja"] = ConfigNode(file) }
        let cursor = ConfigCursor(ConfigNode(keys), file: path)
        let encoder = PromptEncoder(
            sequenceLen: DataSettings.longestSequence, trainOnInputs: false, bosID: tokenizer.bosID,
            eosID: tokenizer.eosID,
            chat: ChatResources(
                tokenizer: tokenizer, folder: folder, settings: try ChatSettings(cursor))
        ) { try tokenizer.encode($0, addSpecialTokens: $1) }
        let reader = try RowReader(head, entry: DatasetEntry(cursor), encoder)
        var (examples, areLabelled) = ([TrainingExample](), true)
        let rows = try DataRows(path)
        while let row = try rows.next() {
            let (example, isLabelled) = try reader.example(row)
            guard !example.tokens.isEmpty, example.rejected?.tokens.isEmpty != true else {
                throw row.error(.badValue, "the row has no tokens")
            }
            examples.append(example)
            areLabelled = areLabelled && isLabelled
        }
        guard !examples.isEmpty else { throw TrainingError(.data, "\(path) holds no row") }
        (self.examples, self.areLabelled) = (examples, areLabelled)
    }
}

/// Makes an example of a row.
private struct RowReader {
    private let head: ScoreHead
    private let entry: DatasetEntry
    private let encoder: PromptEncoder
    private let steps: StepwiseSupervised

    init(_ head: ScoreHead, entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        self.head = head
        self.entry = entry
        self.encoder = encoder
        steps = try StepwiseSupervised(entry, labels: head.labels)
    }

    func example(_ row: ConfigCursor) throws -> (example: TrainingExample, isLabelled: Bool) {
        if head.kind == .tokens {
            let isLabelled = try row.optional("labels") != nil
            return (try steps.example(row, encoder, needsLabels: false), isLabelled)
        }
        let named = ["messages", "conversations", "completion", "chosen"]
        guard try named.contains(where: { try row.optional($0) != nil }) else {
            let ids = try encoder.document(
                row.requiredField("text"), limit: DataSettings.longestSequence)
            return (TrainingExample(tokens: ids), false)
        }
        // Made only where there are conversations: not every tokenizer has a template.
        let conversations = try ScoredConversations(entry, encoder)
        if try row.optional("chosen") != nil {
            return (try conversations.example(row), true)
        }
        return (TrainingExample(tokens: try conversations.single(row)), false)
    }
}
