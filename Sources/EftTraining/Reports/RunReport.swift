// SPDX-License-Identifier: Apache-2.0
// The report of a run: one page that needs nothing from elsewhere.
import EftConfig

/// `report.html`: what a run reached, its curves, its data, some examples and its configuration.
///
/// The page has no scripts, and its policy forbids to load anything. All texts of data and configuration are escaped.
struct RunReport {
    private let facts: RunFacts

    /// The file's name.
    static let name = "report.html"

    /// Examples that are shown, and most characters of a part of one.
    private static let (shownExamples, longestPart) = (3, 2000)

    init(_ facts: RunFacts) { self.facts = facts }

    /// The whole page.
    var html: String {
        let name = ReportText.html(facts.name)
        let about = [facts.method, facts.baseModel, WallClock.text(facts.time, .minutes)]
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <meta name="generator" content="Eft \(ReportText.html(ProgramVersion.current))">
            \(OwnedText.comment)
            <title>\(name)</title>
            <style>
            \(ReportStyle.css)
            </style>
            </head>
            <body>
            <h1>\(name)</h1>
            <div class="sub">\(ReportText.html(about.joined(separator: " · ")))</div>
            \(tiles)\(charts)\(section("Data", table(facts.data) + notices))\
            \(section("Training", table(facts.hyperparameters)))\(section("Answers", answers))\(section("Examples", examples))\
            \(configuration)<footer>Written by Eft \(ReportText.html(ProgramVersion.current))</footer>
            </body>
            </html>

            """
    }

    // MARK: Parts

    private func section(_ title: String, _ content: String) -> String {
        content.isEmpty ? "" : "<h2>\(title)</h2>\n\(content)"
    }

    private var tiles: String {
        let all = facts.results.map {
            "<div><span>\(ReportText.html($0.name))</span><b>\(ReportText.html($0.value))</b></div>\n"
        }
        return "<div class=\"tiles\">\n\(all.joined())</div>\n"
    }

    private func table(_ rows: [(name: String, value: String)]) -> String {
        let all = rows.map {
            "<tr><td>\(ReportText.html($0.name))</td><td>\(ReportText.html($0.value))</td></tr>\n"
        }
        return "<table>\n\(all.joined())</table>\n"
    }

    /// What was said about rows that were left out, with the places of the first ones.
    private var notices: String {
        facts.examples.data.notices.map { "<p class=\"sub\">\(ReportText.html($0))</p>\n" }.joined()
    }

    private var configuration: String {
        """
        <h2>Configuration</h2>
        <details><summary>All keys, with those of the command line</summary>
        <pre>\(ReportText.html(facts.yaml))</pre></details>

        """
    }

    // MARK: Curves

    private var charts: String {
        func series(_ name: String, _ style: String, _ curve: RunCurves.Name) -> CurveChart.Series {
            CurveChart.Series(name: name, style: style, points: facts.curves[curve].points)
        }
        func single(
            _ title: String, _ curve: RunCurves.Name, fromZero: Bool = true
        ) -> CurveChart {
            CurveChart(title, [series(title, "strong", curve)], fromZero: fromZero)
        }
        func pair(
            _ title: String, _ training: RunCurves.Name, _ validation: RunCurves.Name
        ) -> CurveChart {
            CurveChart(
                title,
                [series("training", "strong", training), series("validation", "other", validation)])
        }
        let all = [
            CurveChart(
                "Loss",
                [
                    series("steps", "faint", .loss), series("smoothed", "strong", .smoothedLoss),
                    series("validation", "other", .evaluationLoss),
                ]),
            pair("Reward margin", .margins, .evaluationMargins),
            pair("Reward accuracy", .accuracies, .evaluationAccuracies),
            single("Learning rate", .learningRate), single("Gradient norm", .gradientNorm),
            single("Tokens/s", .tokensPerSecond), memory,
        ]
        let drawn = all.map(\.html).joined()
        return drawn.isEmpty ? "" : "<div class=\"grid\">\n\(drawn)</div>\n"
    }

    /// Memory in the unit that suits its most, and what was planned.
    private var memory: CurveChart {
        let points = facts.curves[.residentBytes].points
        let planned = Double(facts.memory.planned)
        let isLarge = max(planned, points.map(\.value).max() ?? 0) >= 1024 * 1_048_576
        let (unit, name) = isLarge ? (1_073_741_824.0, "GiB") : (1_048_576, "MiB")
        func series(_ name: String, _ style: String, _ points: [RunCurve.Point])
            -> CurveChart.Series
        {
            CurveChart.Series(
                name: name, style: style,
                points: points.map { RunCurve.Point(step: $0.step, value: $0.value / unit) })
        }
        let ends = [points.first, points.last].compactMap(\.self)
        return CurveChart(
            "Memory, \(name)",
            [
                series("measured", "strong", points),
                series(
                    "planned", "limit", ends.map { RunCurve.Point(step: $0.step, value: planned) }),
            ], fromZero: true)
    }

    // MARK: Examples

    /// Prompts of the data with the answers of the model before and after.
    private var answers: String {
        facts.summary.samples.map { sample in
            let rows = [
                ("before", sample.before), ("after", sample.after),
                ("in the data", sample.reference),
            ].compactMap { name, text in text.map { (name, cut($0)) } }
            return "<pre>\(ReportText.html(cut(sample.prompt)))</pre>\n\(table(rows))"
        }.joined()
    }

    private func cut(_ text: String) -> String {
        text.count > Self.longestPart ? text.prefix(Self.longestPart) + " …" : text
    }

    /// The first examples; what is learned of them is marked.
    private var examples: String {
        var text = ""
        for example in facts.examples.data.train.prefix(Self.shownExamples) {
            for part in [example, example.rejected].compactMap(\.self) {
                let title = part == example ? "" : "<p class=\"sub\">rejected:</p>\n"
                text += title + self.text(of: part)
            }
        }
        guard !text.isEmpty else { return "" }
        return "<p class=\"sub\">What is learned is <mark>marked</mark>.</p>\n" + text
    }

    private func text(of example: TrainingExample) -> String {
        guard let segments = try? facts.examples.segments(of: example) else { return "" }
        let parts = segments.map { segment in
            let shown = ReportText.html(cut(segment.text))
            return segment.isTrained ? "<mark>\(shown)</mark>" : shown
        }
        return "<pre>\(parts.joined())</pre>\n"
    }
}
