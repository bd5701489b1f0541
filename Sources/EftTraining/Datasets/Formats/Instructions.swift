// SPDX-License-Identifier: Apache-2.0
// Instruction, optional input, response (Taori et al. 2023), in all forms that Axolotl has names for.
import EftConfig

/// Rows with an instruction and the response to it.
package struct Instructions: DatasetFormat {
    package static let names = InstructionForm.all.flatMap { form in
        form.takesStyle
            ? form.names
                + form.names.flatMap { name in PromptStyle.named.map { "\(name):\($0.rawValue)" } }
            : form.names
    }

    private let form: InstructionForm
    private let style: PromptStyle

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        let parts = entry.typeName.split(separator: ":", maxSplits: 1).map(String.init)
        guard let form = InstructionForm.all.first(where: { $0.names.contains(parts.first ?? "") })
        else { throw entry.cursor.error(.badValue, "'\(entry.typeName)' is no data set type") }
        self.form = form
        style = parts.count > 1 ? PromptStyle(rawValue: parts[1]) ?? form.style : form.style
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let parts = try form.parts(row)
        let sentence = parts.input.isEmpty ? form.sentences.without : form.sentences.with
        let prompt = style.prompt(
            system: parts.system ?? sentence, instruction: parts.instruction, input: parts.input)
        return [try encoder.instruction(prompt: prompt, response: parts.response)]
    }
}
