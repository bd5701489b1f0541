// SPDX-License-Identifier: Apache-2.0
// An instruction format that the user describes in the configuration.
import EftConfig

/// The key `type` is a mapping with names of fields and formats such as `"{instruction} {input} "`.
package struct UserDefined: DatasetFormat {
    package static let names: [String] = []

    private let systemPrompt: String
    private let fields: (system: String, instruction: String, input: String, output: String)
    private let format: String
    private let noInputFormat: String
    private let systemFormat: String

    private static let known = [
        "system_prompt", "field_system", "field_instruction", "field_input", "field_output",
        "format",
        "no_input_format", "system_format", "field", "train_on_split",
    ]

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        guard let type = entry.type else {
            throw entry.cursor.error(.missingKey, "the key 'type' is missing")
        }
        if let unknown = try type.unknownKeys(known: Self.known).first { throw unknown }
        systemPrompt = try type.string("system_prompt", default: "")
        fields = (
            try type.string("field_system", default: "system"),
            try type.string("field_instruction", default: "instruction"),
            try type.string("field_input", default: "input"),
            try type.string("field_output", default: "output")
        )
        format = try type.string("format", default: "{instruction} {input} ")
        noInputFormat = try type.string("no_input_format", default: "{instruction} ")
        systemFormat = try type.string("system_format", default: "{system}")
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let instruction = try row.requiredField(fields.instruction)
        let input = try row.field(fields.input)
        let system = try row.optional(fields.system)?.string() ?? systemPrompt
        let values = ["instruction": instruction, "input": input, "system": system]
        let head = system.isEmpty ? "" : filled(systemFormat, values)
        let turn = filled(input.isEmpty ? noInputFormat : format, values)
        return [
            try encoder.instruction(
                prompt: head + turn, response: row.requiredField(fields.output))
        ]
    }

    /// A format with its names in braces replaced; doubled braces stand for themselves.
    private func filled(_ format: String, _ values: [String: String]) -> String {
        var result = ""
        var rest = Substring(format)
        while let brace = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            result += rest[..<brace]
            rest = rest[brace...]
            if rest.hasPrefix("{{") || rest.hasPrefix("}}") {
                result.append(rest[brace])
                rest = rest.dropFirst(2)
            } else if let end = rest.firstIndex(of: "}"), rest.first == "{",
                let value = values[String(rest[rest.index(after: brace)..<end])]
            {
                result += value
                rest = rest[rest.index(after: end)...]
            } else {
                result.append(rest[brace])
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }
}
