// SPDX-License-Identifier: Apache-2.0
// Bold, dim and coloured text.

/// How text looks on a terminal that has colours; styles add up, as in `[.bold, .green]`.
package struct TerminalStyle: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Headings and what matters most.
    package static let bold = TerminalStyle(rawValue: 1 << 0)
    /// What matters less: progress, rules, units.
    package static let dim = TerminalStyle(rawValue: 1 << 1)
    /// Underlined text.
    package static let underlined = TerminalStyle(rawValue: 1 << 2)
    /// Errors, and what does not fit.
    package static let red = TerminalStyle(rawValue: 1 << 3)
    /// What is done, and what fits.
    package static let green = TerminalStyle(rawValue: 1 << 4)
    /// Warnings.
    package static let yellow = TerminalStyle(rawValue: 1 << 5)
    /// A second colour for headings and prompts.
    package static let blue = TerminalStyle(rawValue: 1 << 6)
    /// Names and values that stand in text.
    package static let cyan = TerminalStyle(rawValue: 1 << 7)

    private static let codes: [(style: TerminalStyle, code: Int)] = [
        (.bold, 1), (.dim, 2), (.underlined, 4), (.red, 31), (.green, 32), (.yellow, 33),
        (.blue, 34), (.cyan, 36),
    ]

    /// The text between escape sequences that switch the style on and off.
    func applied(to text: String) -> String {
        guard !isEmpty, !text.isEmpty else { return text }
        let codes = Self.codes.filter { contains($0.style) }.map { String($0.code) }
        return "\u{1B}[\(codes.joined(separator: ";"))m\(text)\u{1B}[0m"
    }
}

extension TerminalOutput {
    /// The text in a style where the output has colours, else the text alone.
    ///
    /// Measure and cut text before it is styled: escape sequences take no columns.
    package func styled(_ text: String, _ style: TerminalStyle) -> String {
        hasColor ? style.applied(to: text) : text
    }

    /// Writes a line in a style.
    package func writeLine(_ text: String, _ style: TerminalStyle) {
        writeLine(styled(text, style))
    }

    /// Writes text whose lines are broken at spaces where they do not fit the terminal; as it is elsewhere.
    /// - Parameter hanging: spaces before all parts of a line but the first, beyond those of the line itself.
    package func writeWrapped(_ text: String, hanging: Int = 0, _ style: TerminalStyle = []) {
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            guard let width = wrapWidth, displayWidth(line) > width else {
                writeLine(line, style)
                continue
            }
            let indentation = line.prefix { $0 == " " }.count
            let parts = wrapped(
                line, toWidth: width, indentation: indentation, hanging: hanging)
            for part in parts { writeLine(part, style) }
        }
    }
}
