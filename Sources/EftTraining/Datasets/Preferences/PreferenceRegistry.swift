// SPDX-License-Identifier: Apache-2.0
// The kinds of data sets of runs that learn from preferences.
import EftConfig

/// How rows hold preferences.
package enum AnswerKind: Sendable, Hashable {
    /// A chosen and a rejected answer.
    case pairs
    /// One answer, desirable or not.
    case single
    /// A better and a worse answer, each scored with its prompt.
    case scored
    /// Steps with labels, of so many kinds.
    case steps(labels: Int)
    /// None: a prompt that the model answers while it is trained.
    case prompts
}

/// All kinds of data sets with preferences.
enum PreferenceRegistry {
    /// The format that an entry of `datasets` names; rows with the usual fields need no name.
    /// - Throws: `ConfigError` with the known names, and what the format throws.
    static func format(
        _ entry: DatasetEntry, _ kind: AnswerKind, _ encoder: PromptEncoder
    ) throws -> any RowFormat {
        switch kind {
        case .pairs, .single: break
        case .scored: return try RewardRegistry.pairs(entry, encoder)
        case .steps(let labels): return try RewardRegistry.steps(entry, labels: labels)
        case .prompts: return try RolloutPrompts(entry)
        }
        guard let type = entry.type else { return PlainPreferences(kind) }
        if case .object = type.node.value { return try MappedPreferences(type, kind) }
        let name = try type.string()
        if PlainPreferences.names.contains(name) { return PlainPreferences(kind) }
        if MessagePreferences.names.contains(name) {
            return try MessagePreferences(entry, kind, encoder)
        }
        if let format = MarkedPreferences(name, kind) { return format }
        let known = PlainPreferences.names + MessagePreferences.names + MarkedPreferences.names
        let near = closestMatch(name, in: known).map { "; did you mean '\($0)'?" } ?? ""
        throw type.error(
            .badValue,
            "there is no data set type '\(excerpt(name))' for preferences\(near); there are "
                + known.joined(separator: ", ") + ", and mappings of your own")
    }
}

/// A prompt, the answers to it, and what is said of them, as texts.
struct PreferenceTexts {
    let prompt: String
    let answers: [String]
    /// Whether a single answer is desirable.
    var isDesirable: Bool?

    /// The example of the texts.
    /// - Throws: `TokenizerError`.
    func example(_ encoder: PromptEncoder) throws -> TrainingExample {
        let examples = try answers.map { try encoder.answer($0, to: prompt) }
        return TrainingExample(answers: examples, isDesirable: isDesirable)
    }
}

extension TrainingExample {
    /// An example of one answer or of a chosen and a rejected one.
    init(answers: [TrainingExample], isDesirable: Bool?) {
        self.init(tokens: answers.first?.tokens ?? [], labels: answers.first?.labels ?? [])
        if answers.count > 1 {
            preference = .over(tokens: answers[1].tokens, labels: answers[1].labels)
        } else {
            preference = .desirable(isDesirable ?? true)
        }
    }
}

extension ConfigCursor {
    /// The first of some fields that a row has.
    func firstField(_ names: [String]) throws(ConfigError) -> ConfigCursor {
        for name in names { if let found = try optional(name) { return found } }
        throw error(
            .missingKey,
            "the row has no field " + names.map { "'\($0)'" }.joined(separator: " or "))
    }

    /// Whether an answer is desirable: a truth value, or a number that is 0 or not.
    func label(_ name: String) throws(ConfigError) -> Bool {
        let field = try required(name)
        if case .integer(let value) = field.node.value { return value != 0 }
        if case .real(let value) = field.node.value { return value != 0 }
        return try field.bool()
    }
}

/// Rows with `prompt`, `chosen` and `rejected`, or `prompt`, `completion` and `label`, as texts that are used as they are.
struct PlainPreferences: RowFormat {
    static let names = ["passthrough", "passthrough.default"]

    private let kind: AnswerKind

    init(_ kind: AnswerKind) { self.kind = kind }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        let names = kind == .pairs ? ["chosen", "rejected"] : ["completion"]
        if case .array? = try row.optional(names[0])?.node.value {
            // Messages are written by the tokenizer's template.
            return try MessagePreferences(kind, encoder, row).examples(row, encoder)
        }
        let prompt = try row.requiredField("prompt")
        var answers: [String] = []
        for name in names { answers.append(try row.requiredField(name)) }
        return [
            try PreferenceTexts(
                prompt: prompt, answers: answers,
                isDesirable: kind == .single ? try row.label("label") : nil
            ).example(encoder)
        ]
    }
}
