// SPDX-License-Identifier: Apache-2.0
// How far long work has come: a rewritten line on a terminal, a line now and then elsewhere.

import EftConfig
import Synchronization

/// Reports progress; may be called from any thread, as often as needed.
///
/// What takes less than `delay` shows nothing: a line that comes and goes at once only distracts.
package final class ProgressReporter: Sendable {
    /// What a line shows.
    private struct Line {
        var text: String
        /// The share that is done, for a bar behind the text.
        var share: Double?
        /// What stands behind the bar.
        var amount = ""
        /// What stands behind the bar as far as there is room for it, the most important first.
        var parts: [String] = []
    }

    private struct State {
        /// When the first of these updates came.
        var begun: Duration?
        var lastShown: Duration?
        var isLineOpen = false
        /// The line last requested and not shown.
        var pending: Line?
    }

    private let output: TerminalOutput
    private let delay: Duration
    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// Shortest time between two rewritings on a terminal, and between two lines elsewhere.
    private var interval: Duration { output.isTerminal ? .milliseconds(100) : .seconds(10) }

    /// Makes a reporter.
    /// - Parameters:
    ///   - delay: how long work goes on before its first line is shown.
    ///   - now: a clock that never goes back; replaced in tests.
    package init(
        output: TerminalOutput = .standardError, delay: Duration = .milliseconds(500),
        now: (@Sendable () -> Duration)? = nil
    ) {
        self.output = output
        self.delay = delay
        let start = ContinuousClock.now
        self.now = now ?? { ContinuousClock.now - start }
    }

    /// Shows a line, unless one was shown a moment ago.
    package func update(_ text: @autoclosure () -> String) {
        update { Line(text: text()) }
    }

    /// Shows a label, a bar where there is room for one, and how much is done in words.
    /// - Parameter share: what is done, from 0 to 1.
    package func update(_ label: String, share: Double, _ amount: @autoclosure () -> String) {
        update { Line(text: label, share: share, amount: amount()) }
    }

    /// Shows a label, a bar, and facts of which the last ones are left out where there is no room for them.
    /// - Parameters:
    ///   - share: what is done, from 0 to 1.
    ///   - parts: facts, the most important first.
    package func update(_ label: String, share: Double, parts: @autoclosure () -> [String]) {
        update { Line(text: label, share: share, parts: parts()) }
    }

    private func update(_ line: () -> Line) {
        let time = now()
        state.withLock { state in
            let begun = state.begun ?? time
            state.begun = begun
            let isEarly = state.lastShown.map { time - $0 < interval } ?? (time - begun < delay)
            if isEarly {
                // Should this have been the last, `finish` shows it.
                state.pending = line()
                return
            }
            state.lastShown = time
            state.pending = nil
            show(line(), &state)
        }
    }

    /// Writes a line that stays, above the progress line.
    package func note(_ text: String, _ style: TerminalStyle = []) {
        state.withLock { state in
            clear(&state)
            output.writeWrapped(excerpt(text, limit: .max), hanging: 2, style)
            state.lastShown = nil
        }
    }

    /// Writes a table that stays, above the progress line.
    package func note(_ table: TableRenderer) {
        state.withLock { state in
            clear(&state)
            output.write(table)
            state.lastShown = nil
        }
    }

    /// Ends the line.
    /// - Parameter text: what is left standing; without it the last progress.
    package func finish(_ text: String? = nil) {
        state.withLock { state in
            if let last = text ?? state.pending.map(Self.plain) {
                clear(&state)
                output.writeLine(excerpt(last, limit: .max))
            } else if state.isLineOpen {
                output.write("\n")
            }
            state = State()
        }
    }

    /// Ends the line and leaves nothing of it on a terminal: for what only led up to the work.
    package func clear() {
        state.withLock { state in
            clear(&state)
            state = State()
        }
    }

    // MARK: Work of unknown length

    private static let spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

    /// Says what goes on, and for how long, while `work` of unknown length runs; then clears the line.
    package func during<R>(_ what: String, _ work: () throws -> R) rethrows -> R {
        let start = now()
        let isTerminal = output.isTerminal
        let ticker = Ticker { [self] tick in
            let elapsed = now() - start
            let seconds = elapsed.components.seconds
            update { () -> Line in
                let sign = isTerminal ? Self.spinner[tick % Self.spinner.count] + " " : ""
                return Line(text: seconds > 0 ? "\(sign)\(what)  \(seconds) s" : "\(sign)\(what)")
            }
        }
        defer {
            ticker?.stop()
            clear()
        }
        return try work()
    }

    // MARK: Lines

    private func show(_ line: Line, _ state: inout State) {
        guard output.isTerminal else {
            output.writeLine(excerpt(Self.plain(line), limit: .max))
            return
        }
        // The last column stays free, else some terminals begin a new line.
        output.write("\r\(rendered(line, width: max(output.width - 1, 1)))\u{1B}[K")
        state.isLineOpen = true
    }

    private func clear(_ state: inout State) {
        if state.isLineOpen { output.write("\r\u{1B}[K") }
        state.isLineOpen = false
    }

    private static func plain(_ line: Line) -> String {
        guard line.parts.isEmpty else { return ([line.text] + line.parts).joined(separator: "  ") }
        return line.share == nil ? line.text : "\(line.text): \(line.amount)"
    }

    private static let barWidth = 24
    private static let leastBarWidth = 8

    private func rendered(_ line: Line, width: Int) -> String {
        let text = excerpt(line.text, limit: .max)
        guard let share = line.share else {
            return output.styled(truncated(text, toWidth: width), .dim)
        }
        let besides = displayWidth(text) + 4
        let amount = excerpt(
            line.parts.isEmpty
                ? line.amount : fitting(line.parts, width - besides - Self.leastBarWidth),
            limit: .max)
        let room = width - besides - displayWidth(amount)
        guard room >= Self.leastBarWidth else {
            return output.styled(truncated("\(text)  \(amount)", toWidth: width), .dim)
        }
        let bar = min(room, Self.barWidth)
        let full = share.isFinite ? Int((min(max(share, 0), 1) * Double(bar)).rounded(.down)) : 0
        let done = String(repeating: "━", count: full)
        let rest = String(repeating: output.hasColor ? "━" : "╌", count: bar - full)
        return output.styled(text + "  ", .dim) + output.styled(done, .green)
            + output.styled(rest, .dim) + output.styled("  " + amount, .dim)
    }

    /// As many of the parts, from the first one on, as fit; at least one.
    private func fitting(_ parts: [String], _ width: Int) -> String {
        var text = parts.first ?? ""
        for part in parts.dropFirst() {
            guard displayWidth(text) + 2 + displayWidth(part) <= width else { break }
            text += "  " + part
        }
        return text
    }
}
