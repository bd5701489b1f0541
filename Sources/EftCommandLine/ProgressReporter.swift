// SPDX-License-Identifier: Apache-2.0
// How far long work has come: a rewritten line on a terminal, a line now and then elsewhere.

import EftConfig
import Synchronization

/// Reports progress; may be called from any thread, as often as is handy.
package final class ProgressReporter: Sendable {
    private struct State {
        var lastShown: Duration?
        var isLineOpen = false
        /// The text last asked for and not shown.
        var pending: String?
    }

    private let output: TerminalOutput
    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// Shortest time between two rewritings on a terminal, and between two lines elsewhere.
    private var interval: Duration { output.isTerminal ? .milliseconds(100) : .seconds(10) }

    /// Makes a reporter.
    /// - Parameter now: a clock that never goes back; replaced in tests.
    package init(
        output: TerminalOutput = .standardError, now: (@Sendable () -> Duration)? = nil
    ) {
        self.output = output
        let start = ContinuousClock.now
        self.now = now ?? { ContinuousClock.now - start }
    }

    /// Shows a line, unless one was shown a moment ago.
    package func update(_ text: @autoclosure () -> String) {
        let time = now()
        state.withLock { state in
            if let last = state.lastShown, time - last < interval {
                // Should this have been the last, `finish` shows it.
                state.pending = text()
                return
            }
            state.lastShown = time
            state.pending = nil
            show(text(), &state)
        }
    }

    /// Writes a line that stays, above the progress line.
    package func note(_ text: String) {
        state.withLock { state in
            clear(&state)
            output.writeLine(excerpt(text, limit: .max))
            state.lastShown = nil
        }
    }

    /// Ends the line.
    /// - Parameter text: what is left standing; without it the last progress.
    package func finish(_ text: String? = nil) {
        state.withLock { state in
            if let last = text ?? state.pending {
                clear(&state)
                output.writeLine(excerpt(last, limit: .max))
            } else if state.isLineOpen {
                output.write("\n")
            }
            state = State()
        }
    }

    private func show(_ text: String, _ state: inout State) {
        let line = excerpt(text, limit: .max)
        guard output.isTerminal else { return output.writeLine(line) }
        // The last column stays free, else some terminals begin a new line.
        output.write("\r\(truncated(line, toWidth: max(output.width - 1, 1)))\u{1B}[K")
        state.isLineOpen = true
    }

    private func clear(_ state: inout State) {
        if state.isLineOpen { output.write("\r\u{1B}[K") }
        state.isLineOpen = false
    }
}
