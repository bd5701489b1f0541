// SPDX-License-Identifier: Apache-2.0
// What a person or a pipe gets to see.

import EftCommandLine
import EftConfig
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Collects what is written, and a clock that is set by hand.
private final class Recorder: Sendable {
    private let text = Mutex("")
    private let time = Mutex(Duration.zero)

    var written: String { text.withLock { $0 } }

    func output(isTerminal: Bool, width: Int = 20, hasColor: Bool = false) -> TerminalOutput {
        TerminalOutput(isTerminal: isTerminal, width: width, hasColor: hasColor) { [self] piece in
            text.withLock { $0 += piece }
        }
    }

    func reporter(
        isTerminal: Bool, width: Int = 20, hasColor: Bool = false, delay: Duration = .zero
    ) -> ProgressReporter {
        let output = output(isTerminal: isTerminal, width: width, hasColor: hasColor)
        return ProgressReporter(output: output, delay: delay) { [self] in
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

    @Test func `shows nothing of what is done at once`() {
        let reporter = recorder.reporter(isTerminal: true, delay: .milliseconds(500))
        for step in 0..<6 {
            reporter.update("step \(step)")
            recorder.advance(.milliseconds(70))
        }
        reporter.clear()
        #expect(recorder.written.isEmpty)
        reporter.update("slow")
        recorder.advance(.milliseconds(500))
        reporter.update("slower")
        reporter.clear()
        #expect(recorder.written == "\rslower\u{1B}[K\r\u{1B}[K")
    }

    @Test func `draws a bar where there is room`() {
        let wide = recorder.reporter(isTerminal: true, width: 41)
        wide.update("loading", share: 0.5, "layer 2 of 4")
        #expect(recorder.written == "\rloading  ━━━━━━━━╌╌╌╌╌╌╌╌╌  layer 2 of 4\u{1B}[K")
        wide.clear()
        let narrow = Recorder()
        narrow.reporter(isTerminal: true, width: 25).update("loading", share: .nan, "layer 2 of 4")
        #expect(narrow.written == "\rloading  layer 2 of 4\u{1B}[K")
        let pipe = Recorder()
        pipe.reporter(isTerminal: false).update("loading", share: 0.5, "layer 2 of 4")
        #expect(pipe.written == "loading: layer 2 of 4\n")
    }

    @Test func `dims progress on terminals with colours`() {
        let reporter = recorder.reporter(isTerminal: true, hasColor: true)
        reporter.update("a")
        reporter.note("b", .yellow)
        #expect(
            recorder.written
                == "\r\u{1B}[2ma\u{1B}[0m\u{1B}[K\r\u{1B}[K\u{1B}[33mb\u{1B}[0m\n")
    }

    @Test func `says what goes on meanwhile, and returns what the work returns`() throws {
        let reporter = ProgressReporter(
            output: recorder.output(isTerminal: true, width: 80), delay: .zero)
        let result = reporter.during("reading") {
            while recorder.written.isEmpty { usleep(1000) }
            return 7
        }
        #expect(result == 7)
        #expect(recorder.written.contains(" reading"))
        #expect(recorder.written.hasSuffix("\r\u{1B}[K"))
        struct Fault: Error {}
        #expect(throws: Fault.self) { try reporter.during("failing") { throw Fault() } }
    }

    @Test func `facts stand behind a bar as far as there is room, the first ones first`() {
        func shown(width: Int, isTerminal: Bool = true) -> String {
            let recorder = Recorder()
            recorder.reporter(isTerminal: isTerminal, width: width).update(
                "step 1/4", share: 0.25, parts: ["loss 2.5", "3 s left", "lr 1e-4"])
            return recorder.written
        }
        #expect(
            shown(width: 70)
                == "\rstep 1/4  ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  loss 2.5  3 s left  lr 1e-4\u{1B}[K")
        #expect(shown(width: 41) == "\rstep 1/4  ━━╌╌╌╌╌╌╌╌  loss 2.5  3 s left\u{1B}[K")
        #expect(shown(width: 20) == "\rstep 1/4  loss 2.5\u{1B}[K")
        #expect(
            shown(width: 20, isTerminal: false)
                == "step 1/4  loss 2.5  3 s left  lr 1e-4\n")
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

    private var plan: TableRenderer {
        var table = TableRenderer([
            .init("what"), .init("weights", .right), .init("KV cache", .right), .init("note"),
        ])
        table.add(["QLoRA training", "1.2 GiB", "", "two devices of the same size"])
        table.addRule()
        table.add(["run", "13.5 GiB", "512 MiB", "fits"], style: .green)
        return table
    }

    @Test func `breaks cells and headings to fit`() {
        #expect(
            plan.render(width: 48) == """
                what             weights  KV cache  note
                --------------  --------  --------  ------------
                QLoRA training   1.2 GiB            two devices
                                                    of the same
                                                    size
                --------------  --------  --------  ------------
                run             13.5 GiB   512 MiB  fits

                """)
        #expect(plan.render(width: 200) == plan.render())
    }

    @Test(arguments: 10...70)
    func `never exceeds the width and leaves nothing out`(width: Int) {
        let text = plan.render(width: width)
        for line in text.split(separator: "\n") {
            #expect(displayWidth(String(line)) <= max(width, 16), "\(line)")
        }
        let words = text.split(whereSeparator: \.isWhitespace).joined()
        for cell in ["1.2GiB", "13.5GiB", "512MiB", "fits"] {
            #expect(words.contains(cell), "\(text)")
        }
    }

    @Test func `becomes blocks where columns do not fit`() {
        #expect(
            plan.render(width: 30) == """
                QLoRA training
                  weights   1.2 GiB
                  note      two devices of the
                            same size
                run
                  weights   13.5 GiB
                  KV cache  512 MiB
                  note      fits

                """)
    }

    @Test func `styles headings and rows on terminals with colours`() {
        let recorder = Recorder()
        var table = TableRenderer([.init("a"), .init("b")])
        table.add(["1", "2"], style: [.bold, .red])
        recorder.output(isTerminal: true, hasColor: true).write(table)
        #expect(
            recorder.written
                == "\u{1B}[1ma  b\u{1B}[0m\n\u{1B}[2m-  -\u{1B}[0m\n\u{1B}[1;31m1  2\u{1B}[0m\n")
        let pipe = Recorder()
        pipe.output(isTerminal: false, width: 3).write(table)
        #expect(pipe.written == "a  b\n-  -\n1  2\n")
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

struct TextLayoutTests {
    @Test(
        arguments: [
            ("one two three", 8, 0, 0, ["one two", "three"]),
            ("one two three", 9, 2, 1, ["  one two", "   three"]),
            ("abcdefghijkl m", 8, 0, 2, ["abcdefgh", "  ijkl m"]),
            ("", 10, 0, 0, [""]), ("  a  b ", 10, 0, 0, ["a b"]),
            ("漢字漢字漢字", 9, 0, 0, ["漢字漢字", "漢字"]),
            ("a b", 1, 40, 0, ["a", "b"]),
        ] as [(String, Int, Int, Int, [String])])
    func `breaks paragraphs`(
        text: String, width: Int, indentation: Int, hanging: Int, lines: [String]
    ) {
        #expect(
            wrapped(text, toWidth: width, indentation: indentation, hanging: hanging) == lines)
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

struct WrappedOutputTests {
    private let recorder = Recorder()

    @Test func `breaks only lines that do not fit, and keeps their indentation`() {
        recorder.output(isTerminal: true, width: 20).writeWrapped(
            "plan:  fits\n  weights and scales of 4 bits", hanging: 2)
        #expect(recorder.written == "plan:  fits\n  weights and scales\n    of 4 bits\n")
    }

    @Test func `leaves lines alone on a pipe`() {
        recorder.output(isTerminal: false, width: 10).writeWrapped("one two three four", .red)
        #expect(recorder.written == "one two three four\n")
    }
}
