// SPDX-License-Identifier: Apache-2.0
// The Alpaca instruction format (Taori et al. 2023), in which models are trained and asked.

/// The prompt that models trained on Alpaca-style data expect.
package enum AlpacaPrompt {
    /// What stands before an instruction without input.
    package static let sentence =
        "Below is an instruction that describes a task. "
        + "Write a response that appropriately completes the request."
    /// What stands before an instruction with input.
    package static let sentenceWithInput =
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        + "Write a response that appropriately completes the request."

    /// Wraps an instruction; an empty input counts as none.
    package static func instruct(_ instruction: String, input: String = "") -> String {
        let hasInput = !input.isEmpty
        let sentence = hasInput ? sentenceWithInput : sentence
        let inputPart = hasInput ? "### Input:\n\(input)\n\n" : ""
        return "\(sentence)\n\n### Instruction:\n\(instruction)\n\n\(inputPart)### Response:\n"
    }
}
