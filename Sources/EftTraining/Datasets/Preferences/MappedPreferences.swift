// SPDX-License-Identifier: Apache-2.0
// Rows with preferences whose fields and texts the configuration names.
import EftConfig

/// A `type` that is a mapping, as Axolotl's `user_defined.default` has it.
struct MappedPreferences: RowFormat {
    private let prompt: Part
    private let system: String
    private let answers: [Part]
    private let label: String?

    /// A field, and the text around it.
    private struct Part {
        /// The name in braces.
        let name: String
        let field: String
        let format: String

        init(_ type: ConfigCursor, _ name: String) throws(ConfigError) {
            self.name = name
            field = try type.text("field_\(name)") ?? name
            let format = try type.text("\(name)_format") ?? ""
            self.format = format.isEmpty ? "{\(name)}" : format
        }
    }

    init(_ type: ConfigCursor, _ kind: AnswerKind) throws(ConfigError) {
        prompt = try Part(type, "prompt")
        system = try type.text("field_system") ?? "system"
        if kind == .pairs {
            answers = [try Part(type, "chosen"), try Part(type, "rejected")]
            label = nil
        } else {
            answers = [try Part(type, "completion")]
            label = try type.text("field_label") ?? "label"
        }
    }

    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample] {
        let values = [
            ("system", try row.optional(system)?.string() ?? ""),
            ("prompt", try row.requiredField(prompt.field)),
        ]
        var texts: [String] = []
        for answer in answers {
            texts.append(
                Self.filled(answer.format, [(answer.name, try row.requiredField(answer.field))]))
        }
        return [
            try PreferenceTexts(
                prompt: Self.filled(prompt.format, values), answers: texts,
                isDesirable: try label.map { try row.label($0) }
            ).example(encoder)
        ]
    }

    /// A text with names in braces replaced, each place once: values are not looked into.
    private static func filled(_ format: String, _ values: [(String, String)]) -> String {
        var result = ""
        var rest = Substring(format)
        while let open = rest.firstIndex(of: "{") {
            result += rest[..<open]
            rest = rest[open...]
            let found = values.first { rest.hasPrefix("{\($0.0)}") }
            if let found {
                result += found.1
                rest = rest.dropFirst(found.0.count + 2)
            } else {
                result += "{"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }
}
