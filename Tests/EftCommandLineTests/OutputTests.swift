// SPDX-License-Identifier: Apache-2.0
// What a person or a pipe gets to see.

import EftCommandLine
import EftConfig
import Synchronization
import Testing

/// Collects what is written, and a clock that is set by hand.
private final class Recorder: Sendable {
    private let text = Mutex("")
    private let time = Mutex(Duration.zero)

    var written: String { text.withLock { $0 } }

    func output(isTerminal: Bool, width: Int = 20) -> TerminalOutput {
        TerminalOutput(isTerminal: isTerminal, width: width) { [self] piece in
            text.withLock { $0 += piece }
        }
    }

    func reporter(isTerminal: Bool, width: Int = 20) -> ProgressReporter {
        ProgressReporter(output: output(isTerminal: isTerminal, width: width)) { [self] in
            time.withLock { $0 }
        }
    }

    func advance(_ duration: Duration) { time.withLock { $0 += duration } }
}

struct ProgressReporterTests {
    private let recorder = Recorder()

    @Test func `rewrites one line on a terminal, ten times a second`() {
        let reporter = recorder.reporter(isTerminal: true)
        for step in 0..<4 {
            reporter.update("step \(step)")
            recorder.advance(.milliseconds(60))
        }
        reporter.finish("done")
        #expect(recorder.written == "\rstep 0\u{1B}[K\rstep 2\u{1B}[K\r\u{1B}[Kdone\n")
    }

    @Test func `leaves the last progress standing`() {
        let reporter = recorder.reporter(isTerminal: true)
        reporter.update("a")
        reporter.finish()
        reporter.update("b")
        reporter.update("c")
        reporter.finish()
        reporter.finish()
        #expect(recorder.written == "\ra\u{1B}[K\n\rb\u{1B}[K\r\u{1B}[Kc\n")
    }

    @Test func `cuts lines to the width of the terminal`() {
        let reporter = recorder.reporter(isTerminal: true, width: 8)
        reporter.update("123456789")
        #expect(recorder.written == "\r123456…\u{1B}[K")
    }

    @Test func `prints a line every ten seconds on a pipe`() {
        let reporter = recorder.reporter(isTerminal: false)
        for step in 0..<25 {
            reporter.update("step \(step) of twenty-five, not cut")
            recorder.advance(.seconds(1))
        }
        reporter.finish()
        #expect(
            recorder.written
                == [0, 10, 20, 24].map { "step \($0) of twenty-five, not cut\n" }
                .joined())
    }

    @Test func `writes notes above the line`() {
        let reporter = recorder.reporter(isTerminal: true)
        reporter.update("a")
        reporter.note("warning")
        reporter.update("b")
        #expect(recorder.written == "\ra\u{1B}[K\r\u{1B}[Kwarning\n\rb\u{1B}[K")
    }

    @Test func `lets no control character through`() {
        let reporter = recorder.reporter(isTerminal: true, width: 80)
        reporter.update("a\u{1B}]0;x\u{7}\nb")
        #expect(recorder.written == "\ra\\u{1b}]0;x\\u{7}\\u{a}b\u{1B}[K")
    }

    @Test func `takes updates from many threads`() async {
        let reporter = recorder.reporter(isTerminal: false)
        await withTaskGroup { group in
            for task in 0..<8 {
                group.addTask { for step in 0..<100 { reporter.update("\(task).\(step)") } }
            }
        }
        reporter.finish("end")
        let lines = recorder.written.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.last == "end")
    }
}

struct TableRendererTests {
    @Test func `aligns columns`() {
        var table = TableRenderer([.init("purpose"), .init("size", .right), .init("note")])
        table.add(["weights", "1.2 GiB", "mapped"])
        table.add(["é漢", "3 MiB"])
        table.addRule()
        table.add(["total", "1.3 GiB", "a\nb", "too many"])
        #expect(
            table.render() == """
                purpose     size  note
                -------  -------  -------
                weights  1.2 GiB  mapped
                é漢        3 MiB
                -------  -------  -------
                total    1.3 GiB  a\\u{a}b

                """)
    }

    @Test func `renders empty tables`() {
        #expect(TableRenderer([.init("a"), .init("b")]).render() == "a  b\n-  -\n")
        #expect(TableRenderer([]).render() == "\n\n")
    }

    @Test(
        arguments: [
            ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("漢字", 4), ("😀", 2), ("ｆ", 2), ("한", 2),
            ("…", 1),
            ("ß→", 2),
        ] as [(String, Int)])
    func `measures text`(text: String, width: Int) { #expect(displayWidth(text) == width) }

    @Test(
        arguments: [
            ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字", 3, "漢…"), ("漢字", 2, "…"), ("abc", 1, "…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] as [(String, Int, String)])
    func `cuts text`(text: String, width: Int, expected: String) {
        #expect(truncated(text, toWidth: width) == expected)
    }
}

struct FormattingTests {
    @Test(
        arguments: [
            (0, "0.0 s"), (0.04, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (7380, "2 h 03 min"),
            (86399, "1 d 00 h"), (352_800, "4 d 02 h"), (-1, "?"), (.nan, "?"), (.infinity, "?"),
            (1e300, "?"),
        ] as [(Double, String)])
    func `durations`(seconds: Double, expected: String) {
        #expect(formatDuration(seconds) == expected)
    }

    @Test(
        arguments: [
            (0, "0.00 t/s"), (0.5234, "0.52 t/s"), (9.999, "10.0 t/s"), (36.12, "36.1 t/s"),
            (99.96, "100 t/s"),
            (12345.6, "12346 t/s"), (.infinity, "? t/s"), (-1, "? t/s"),
        ] as [(Double, String)])
    func `rates`(rate: Double, expected: String) { #expect(formatRate(rate, "t") == expected) }

    @Test(
        arguments: [
            (1.005, 1, "1.0"), (2.25, 1, "2.3"), (-0.04, 1, "0.0"), (-1.26, 1, "-1.3"), (3, 0, "3"),
            (0.001, 3, "0.001"),
            (12.5, 2, "12.50"), (1e20, 2, "1e+20"), (.nan, 2, "nan"), (-.infinity, 2, "-inf"),
            (5, -3, "5"),
        ] as [(Double, Int, String)])
    func `fixed decimals`(value: Double, decimals: Int, expected: String) {
        #expect(formatFixed(value, decimals: decimals) == expected)
    }

    @Test func `statuses are what the shell sees`() {
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 130])
    }

    @Test func `prints JSON with a newline`() {
        let recorder = Recorder()
        JSONOutput.print(["a": 1], layout: .compact, to: recorder.output(isTerminal: false))
        #expect(recorder.written == "{\"a\": 1}\n")
    }
}
