// SPDX-License-Identifier: Apache-2.0
// How models mark what they think before they answer.

/// A pair of marks around thoughts.
package struct ReasoningFormat: Sendable, Hashable {
    /// The name by which users choose it.
    package let name: String
    /// The mark before thoughts.
    package let start: String
    /// The mark behind them.
    package let end: String
    /// Whether an answer begins with thoughts even when neither prompt nor answer has the first mark.
    package let startsByItself: Bool

    /// Makes a format.
    package init(name: String, start: String, end: String, startsByItself: Bool = false) {
        self.name = name
        self.start = start
        self.end = end
        self.startsByItself = startsByItself
    }

    /// The formats that are known.
    package static let all = [
        ReasoningFormat(
            name: "deepseek_r1", start: "<think>", end: "</think>", startsByItself: true),
        ReasoningFormat(name: "qwen3", start: "<think>", end: "</think>"),
        ReasoningFormat(name: "mistral", start: "[THINK]", end: "[/THINK]"),
        ReasoningFormat(name: "seed_oss", start: "<seed:think>", end: "</seed:think>"),
        ReasoningFormat(
            name: "granite", start: "Here is my thought process:", end: "Here is my response:"),
        ReasoningFormat(
            name: "command_a", start: "<|START_THINKING|>", end: "<|END_THINKING|>"),
        ReasoningFormat(name: "reasoning_tags", start: "<reasoning>", end: "</reasoning>"),
        ReasoningFormat(name: "thought_tags", start: "<thought>", end: "</thought>"),
    ]

    /// The format of a name.
    package static func format(named name: String) -> ReasoningFormat? {
        all.first { $0.name == name }
    }

    /// The format that a chat template speaks of: it has the mark behind thoughts, to take them out of earlier answers.
    package static func format(inTemplate source: String) -> ReasoningFormat? {
        // Where a prompt opens the thoughts the splitter sees it, so that none is taken to begin by itself.
        all.first { !$0.startsByItself && source.contains($0.end) }
    }

    /// Whether a prompt ends inside thoughts: its last mark is the first one.
    package func isOpen(atEndOf prompt: String) -> Bool {
        let bytes = Array(prompt.utf8)
        // Marks further in front belong to earlier messages, whose thoughts are over.
        var lineEnd = bytes.count
        while lineEnd > 0, isJSONSpace(bytes[lineEnd - 1]) { lineEnd -= 1 }
        return bytes[..<lineEnd].reversed().starts(with: start.utf8.reversed())
    }

    /// A splitter for an answer.
    /// - Parameter prompt: the text that the answer goes on with.
    package func splitter(after prompt: String) -> ReasoningSplitter {
        ReasoningSplitter(self, startsInside: startsByItself || isOpen(atEndOf: prompt))
    }
}
