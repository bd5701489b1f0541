// SPDX-License-Identifier: Apache-2.0
// Instruction, optional input, output (Taori et al. 2023), in Axolotl's four styles.
import EftConfig
import EftTokenizers

/// Rows with `instruction`, `input` and `output`.
package struct Alpaca: DatasetFormat {
    package static let names = ["alpaca"] + Style.allCases.map { "alpaca:" + $0.rawValue }

    /// How the parts are put together.
    enum Style: String, CaseIterable {
        case instruct
        case chat
        case chatml
        case phi
    }

    private let style: Style

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        let parts = try entry.type.string().split(separator: ":")
        style = parts.count > 1 ? Style(rawValue: String(parts[1])) ?? .instruct : .instruct
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let instruction = try row.requiredField("instruction")
        let input = try row.field("input")
        return [
            try encoder.instruction(
                prompt: prompt(instruction, input), response: row.requiredField("output"))
        ]
    }

    /// The text before the response.
    func prompt(_ instruction: String, _ input: String) -> String {
        let hasInput = !input.isEmpty
        let sentence = hasInput ? AlpacaPrompt.sentenceWithInput : AlpacaPrompt.sentence
        switch style {
        case .instruct: return AlpacaPrompt.instruct(instruction, input: input)
        case .chat:
            let inputPart = hasInput ? "\(input)\n" : ""
            return "SYSTEM: \(sentence)\nUSER: \(instruction)\n\(inputPart)ASSISTANT:"
        case .chatml:
            let inputPart = hasInput ? "\n\(input)" : ""
            return "<|im_start|>system\n\(sentence)<|im_end|>\n<|im_start|>user\n\(instruction)"
                + "\(inputPart)<|im_end|>\n<|im_start|>assistant\n"
        case .phi:
            // The form with input has no line break before the assistant; that is how models were trained.
            let rest = hasInput ? "\(input)<|assistant|>" : "\n<|assistant|>\n"
            return "<|system|>\n\(sentence)<|end|>\n<|user|>\n\(instruction)<|end|>\(rest)"
        }
    }
}
