// SPDX-License-Identifier: Apache-2.0
// The Alpaca instruction format for a single instruction without input.

/// The prompt that models trained on Alpaca-style data expect.
package enum AlpacaPrompt {
    /// Wraps an instruction.
    package static func instruct(_ instruction: String) -> String {
        "Below is an instruction that describes a task. Write a response that appropriately completes the "
            + "request.\n\n### Instruction:\n\(instruction)\n\n### Response:\n"
    }
}
