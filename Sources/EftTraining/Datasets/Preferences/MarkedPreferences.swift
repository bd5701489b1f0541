// SPDX-License-Identifier: Apache-2.0
// Rows of one question and its answers, written in a fixed markup.
import EftConfig

/// The types `chatml.*` and `llama3.*` of Axolotl, for pairs and for single answers.
struct MarkedPreferences: RowFormat {
    /// How turns are marked.
    private struct Markup: Sendable {
        let name: String
        let system: @Sendable (String) -> String
        let user: @Sendable (String) -> String
        let end: String
    }

    private static let markups = [
        Markup(
            name: "chatml", system: { "<|im_start|>system\n\($0)<|im_end|>\n" },
            user: { "<|im_start|>user\n\($0)<|im_end|>\n<|im_start|>assistant\n" },
            end: "<|im_end|>"),
        Markup(
            name: "llama3",
            system: { "<|start_header_id|>system<|end_header_id|>\n\n\($0)<|eot_id|>" },
            user: {
                "<|start_header_id|>user<|end_header_id|>\n\n\($0)<|eot_id|>"
                    + "<|start_header_id|>assistant<|end_header_id|>\n\n"
            }, end: "<|eot_id|>"),
    ]

    /// The fields that may hold the question, by the name of the form; none where it is the chosen answer's first message.
    private static let questions: [(form: String, fields: [String])] = [
        ("default", ["prompt", "input", "question", "instruction"]), ("argilla", ["instruction"]),
        ("argilla_chat", []), ("icr", ["input"]), ("intel", ["question"]),
        ("prompt_pairs", ["prompt"]), ("ultra", ["prompt"]),
    ]

    /// All names; a markup alone has the default form.
    static let names = markups.flatMap { markup in
        [markup.name] + questions.map { "\(markup.name).\($0.form)" }
    }

    private let markupName: String
    private let fields: [String]
    private let kind: AnswerKind

    /// The format of a name; nil when there is none.
    init?(_ name: String, _ kind: AnswerKind) {
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        let form = parts.count > 1 ? parts[1] : "default"
        guard let markup = Self.markups.first(where: { $0.name == parts.first }),
            let question = Self.questions.first(where: { $0.form == form })
        else { return nil }
        markupName = markup.name
        fields = question.fields
        self.kind = kind
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        guard let markup = Self.markups.first(where: { $0.name == markupName }) else { return [] }
        let answers: [ConfigCursor]
        if kind == .pairs {
            answers = [
                try row.firstField(["chosen", "chosen_response"]),
                try row.firstField(["rejected", "rejected_response"]),
            ]
        } else {
            answers = [try row.firstField(["completion"])]
        }
        var prompt = ""
        if !fields.isEmpty, let system = try row.optional("system")?.string(), !system.isEmpty {
            prompt = markup.system(system)
        }
        prompt += markup.user(try question(row, answers))
        return [
            try PreferenceTexts(
                prompt: prompt, answers: answers.map { try Self.text($0) + markup.end },
                isDesirable: kind == .single ? try row.label("label") : nil
            ).example(encoder)
        ]
    }

    private func question(_ row: ConfigCursor, _ answers: [ConfigCursor]) throws -> String {
        if !fields.isEmpty { return try row.firstField(fields).string() }
        let messages = try (row.optional("chosen") ?? answers[0]).elements()
        guard messages.count > 1, let first = messages.first else {
            throw row.error(.badValue, "a question and an answer are needed, as two messages")
        }
        return try first.required("content").string()
    }

    /// The text of an answer; of messages the last one's.
    private static func text(_ answer: ConfigCursor) throws(ConfigError) -> String {
        guard case .array = answer.node.value else { return try answer.string() }
        guard let last = try answer.elements().last else {
            throw answer.error(.badValue, "there are no messages")
        }
        return try last.required("content").string()
    }
}
