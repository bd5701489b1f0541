// SPDX-License-Identifier: Apache-2.0
// Where text goes, and whether a person sees it there.

import EftConfig

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A stream for text: a terminal, on which a line may be rewritten, or something else.
package struct TerminalOutput: Sendable {
    /// Whether lines may be rewritten here.
    package let isTerminal: Bool
    /// Whether text may be styled here: on a terminal, unless `NO_COLOR` is set.
    package let hasColor: Bool
    /// Whether lines should fit a width: on any terminal, also one on which nothing can be rewritten.
    private let wraps: Bool
    private let widthSource: @Sendable () -> Int
    private let sink: @Sendable (String) -> Void

    /// Standard output.
    package static let standardOutput = TerminalOutput(descriptor: STDOUT_FILENO)
    /// Standard error.
    package static let standardError = TerminalOutput(descriptor: STDERR_FILENO)

    /// An output that drops all text.
    package static let discarded = TerminalOutput(isTerminal: false) { _ in }

    /// Makes an output that hands its text to `write`.
    package init(
        isTerminal: Bool, width: Int = 80, hasColor: Bool = false,
        write: @escaping @Sendable (String) -> Void
    ) {
        self.isTerminal = isTerminal
        self.hasColor = hasColor
        wraps = isTerminal
        self.widthSource = { width }
        self.sink = write
    }

    private init(descriptor: Int32) {
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? true
        wraps = isatty(descriptor) == 1
        isTerminal = wraps && !isDumb
        hasColor = isTerminal && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
        widthSource = {
            var size = winsize()
            guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
                return 80
            }
            return Int(size.ws_col)
        }
        sink = { text in writeAll(text, to: descriptor) }
    }

    /// Columns of the terminal; 80 where there is none.
    package var width: Int { widthSource() }

    /// Columns that lines should fit; nil where nobody looks at them on a terminal.
    package var wrapWidth: Int? { wraps ? width : nil }

    /// Writes text as it is.
    package func write(_ text: String) { sink(text) }

    /// Writes a line.
    package func writeLine(_ text: String) { sink(text + "\n") }
}

/// Writes a whole text; gives up silently where nobody reads, and says nothing more once that ends the program.
private func writeAll(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        guard !ClosedOutput.isClosed else { return }
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 && errno == EPIPE && descriptor == STDOUT_FILENO { ClosedOutput.note() }
        guard count > 0 else { return }
        bytes.removeFirst(count)
    }
}

/// Machine-readable results.
package enum JSONOutput {
    /// Writes a document and a newline to standard output.
    package static func print(_ node: ConfigNode, layout: JSONWriter.Layout = .indented(2)) {
        print(node, layout: layout, to: .standardOutput)
    }

    /// Writes a document and a newline.
    package static func print(
        _ node: ConfigNode, layout: JSONWriter.Layout = .indented(2), to output: TerminalOutput
    ) {
        output.writeLine(JSONWriter.text(node, layout: layout))
    }
}
