// SPDX-License-Identifier: Apache-2.0
// An answer on its way to standard output: thoughts dimmed on a terminal, between their marks elsewhere.
import EftCommandLine
import EftGeneration

#if canImport(Glibc)
    import Glibc
#endif

/// Text that stands back, where the output can show that.
func dimmed(_ text: String, on output: TerminalOutput) -> String {
    let hasColour = getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
    return output.isTerminal && hasColour && !text.isEmpty ? "\u{1B}[2m\(text)\u{1B}[22m" : text
}

/// Writes the parts of one answer.
struct AnswerPrinter {
    private enum Place { case start, thoughts, gap, text }

    private let output: TerminalOutput
    private let reasoning: ReasoningFormat?
    private var place = Place.start
    private var endsLine = true

    init(_ reasoning: ReasoningFormat?, output: TerminalOutput = .standardOutput) {
        self.reasoning = reasoning
        self.output = output
    }

    /// Writes a piece of thoughts.
    mutating func write(thought text: String) {
        if place == .start {
            place = .thoughts
            if !output.isTerminal { put(reasoning?.start ?? "") }
        }
        var text = text
        // A terminal needs no empty lines around thoughts that are dimmed.
        if output.isTerminal, endsLine { text = String(text.drop { $0.isNewline }) }
        put(text, shown: dimmed(text, on: output))
    }

    /// Writes a piece of what is said.
    mutating func write(text: String) {
        var text = text
        if place == .thoughts { endThoughts() }
        if place == .gap {
            text = String(text.drop { $0.isNewline })
            if text.isEmpty { return }
        }
        place = .text
        put(text)
    }

    /// Ends the answer with a newline.
    mutating func finish() {
        if place == .thoughts, !output.isTerminal { put(reasoning?.end ?? "") }
        output.write("\n")
    }

    private mutating func endThoughts() {
        if output.isTerminal {
            output.write(endsLine ? "\n" : "\n\n")
            place = .gap
        } else {
            put(reasoning?.end ?? "")
            place = .text
        }
    }

    private mutating func put(_ text: String, shown: String? = nil) {
        guard let last = text.last else { return }
        output.write(shown ?? text)
        endsLine = last.isNewline
    }
}
