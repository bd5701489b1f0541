// SPDX-License-Identifier: Apache-2.0
// An answer on its way to standard output: wrapped and its thoughts dimmed on a terminal, as it is elsewhere.
import EftCommandLine
import EftGeneration

/// Writes the parts of one answer.
struct AnswerPrinter {
    private enum Place { case start, thoughts, gap, text }

    private let output: TerminalOutput
    private let reasoning: ReasoningFormat?
    private var wrap: StreamedWrap?
    private var place = Place.start
    private var endsLine = true

    /// - Parameter reasoning: whose marks stand around thoughts where they cannot be dimmed.
    init(_ reasoning: ReasoningFormat?, output: TerminalOutput = .standardOutput) {
        self.reasoning = reasoning
        self.output = output
        wrap = output.wrapWidth.map { StreamedWrap(width: $0) }
    }

    /// Writes a piece of thoughts.
    mutating func write(thought text: String) {
        if place == .start {
            place = .thoughts
            if !output.isTerminal { put(reasoning?.start ?? "") }
        }
        // A terminal needs no empty lines around thoughts that are dimmed.
        put(output.isTerminal && endsLine ? String(text.drop { $0.isNewline }) : text, .dim)
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
        release(place == .thoughts ? .dim : [])
        output.write("\n")
    }

    private mutating func endThoughts() {
        if output.isTerminal {
            release(.dim)
            output.write(endsLine ? "\n" : "\n\n")
            place = .gap
        } else {
            put(reasoning?.end ?? "")
            place = .text
        }
    }

    private mutating func put(_ text: String, _ style: TerminalStyle = []) {
        guard let last = text.last else { return }
        endsLine = last.isNewline
        let shown = output.isTerminal ? Self.harmless(text) : text
        write(wrap?.add(shown) ?? shown, style)
    }

    private mutating func release(_ style: TerminalStyle) { write(wrap?.finish() ?? "", style) }

    private func write(_ text: String, _ style: TerminalStyle) {
        if !text.isEmpty { output.write(output.styled(text, style)) }
    }

    /// Text without characters by which a model could command the terminal.
    private static func harmless(_ text: String) -> String {
        func commands(_ scalar: Unicode.Scalar) -> Bool {
            let value = scalar.value
            return (value < 0x20 && value != 0x0A && value != 0x09) || (0x7F...0x9F).contains(value)
        }
        guard text.unicodeScalars.contains(where: commands) else { return text }
        return String(
            String.UnicodeScalarView(text.unicodeScalars.map { commands($0) ? "\u{FFFD}" : $0 }))
    }
}
