// SPDX-License-Identifier: Apache-2.0
// Answers in steps, each with a label.
import EftConfig

/// The type `stepwise_supervised` of Axolotl: `prompt`, `completions` and a label for each of these. A separator stands
/// behind each step, and the step's label at the separator's last token.
struct StepwiseSupervised: RowFormat {
    static let name = "stepwise_supervised"

    private let separator: String
    private let mostTokens: Int?
    private let lastStepOnly: Bool
    private let labels: Int

    /// - Parameter labels: kinds of steps.
    init(_ entry: DatasetEntry, labels: Int) throws(ConfigError) {
        let cursor = entry.cursor
        separator = try cursor.optional("step_separator")?.string() ?? "\n"
        mostTokens = try cursor.lenientInt(
            "max_completion_length", in: 1...DataSettings.longestSequence)
        lastStepOnly = try cursor.lenientBool("train_on_last_step_only") ?? false
        self.labels = labels
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        [try example(row, encoder)]
    }

    /// The example of a row.
    /// - Parameter needsLabels: whether a row without labels is an error; else its steps get the label 0.
    func example(
        _ row: ConfigCursor, _ encoder: PromptEncoder, needsLabels: Bool = true
    ) throws -> TrainingExample {
        var prompt = try encoder.plain(row.requiredField("prompt"))
        if let bosID = encoder.bosID { prompt.insert(bosID, at: 0) }
        let steps = try row.firstField(["completions"])
        let texts = try steps.elements().map { try $0.string() }
        let given = try labels(row, isNeeded: needsLabels, count: texts.count)
        guard given.count == texts.count, !texts.isEmpty else {
            throw steps.error(
                .badValue, "there are \(texts.count) steps and \(given.count) labels")
        }
        let between = try encoder.plain(separator)
        var (tokens, marks) = ([Int32](), [Int32]())
        for (place, text) in texts.enumerated() {
            let ids = try encoder.plain(text) + between
            guard !ids.isEmpty else { throw steps.error(.badValue, "step \(place + 1) is empty") }
            let isLearned = !lastStepOnly || place == texts.count - 1
            tokens += ids
            marks += [Int32](repeating: TrainingExample.ignoreIndex, count: ids.count - 1)
            marks.append(isLearned ? given[place] : TrainingExample.ignoreIndex)
        }
        let count = min(mostTokens ?? tokens.count, tokens.count)
        let ignored = [Int32](repeating: TrainingExample.ignoreIndex, count: prompt.count)
        let example = TrainingExample(
            tokens: prompt + tokens[..<count], labels: ignored + marks[..<count])
        // Axolotl cuts such rows instead of leaving them out.
        return example.prefix(encoder.sequenceLen)
    }

    private func labels(
        _ row: ConfigCursor, isNeeded: Bool, count: Int
    ) throws(ConfigError) -> [Int32] {
        let isThere = try row.optional("labels") != nil
        guard isNeeded || isThere else {
            return [Int32](repeating: 0, count: count)
        }
        var labels: [Int32] = []
        for item in try row.firstField(["labels"]).elements() { labels.append(try label(item)) }
        return labels
    }

    /// A truth value, or the number of a kind of steps.
    private func label(_ cursor: ConfigCursor) throws(ConfigError) -> Int32 {
        if case .bool(let value) = cursor.node.value {
            guard labels > 1 || !value else {
                throw cursor.error(.badValue, "a label of true needs num_labels: 2")
            }
            return value ? 1 : 0
        }
        return Int32(try cursor.int(in: 0...labels - 1))
    }
}
