// SPDX-License-Identifier: Apache-2.0
// Curves as a drawing in SVG.

/// A chart of one or several curves over the steps of a run.
struct CurveChart {
    /// A curve of the chart.
    struct Series {
        /// The curve's name, in the legend where there are several.
        let name: String
        /// The class that decides its colour: `faint`, `strong`, `other` or `limit`.
        let style: String
        /// The points, in the order of steps.
        let points: [RunCurve.Point]
    }

    /// What is shown.
    let title: String
    /// The curves; those without points are left out.
    let series: [Series]
    /// Whether the values' axis begins at 0.
    private let fromZero: Bool

    init(_ title: String, _ series: [Series], fromZero: Bool = false) {
        self.title = title
        self.series = series.filter { !$0.points.isEmpty }
        self.fromZero = fromZero
    }

    private static let (width, height) = (420.0, 230.0)
    private static let (left, right, top, bottom) = (54.0, 410.0, 10.0, 200.0)

    /// The chart as a figure; empty without points, and where numbers are too far apart to be drawn.
    var html: String {
        guard let x = Scale(series.flatMap { $0.points.map { Double($0.step) } }),
            let y = Scale(series.flatMap { $0.points.map(\.value) }, fromZero: fromZero)
        else { return "" }
        let legend =
            series.count > 1
            ? series.map { "<span class=\"\($0.style)\">\(ReportText.html($0.name))</span>" }
                .joined(separator: " ") : ""
        let name = ReportText.html(title)
        return """
            <figure><figcaption>\(name) \(legend)</figcaption>
            <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(name)">
            \(axes(x, y))\(series.map { line($0, x, y) }.joined())</svg></figure>

            """
    }

    // MARK: Parts

    private func place(_ x: Double, _ y: Double) -> (x: String, y: String) {
        (
            Self.coordinate(Self.left + x * (Self.right - Self.left)),
            Self.coordinate(Self.bottom - y * (Self.bottom - Self.top))
        )
    }

    private func axes(_ x: Scale, _ y: Scale) -> String {
        var text = ""
        for tick in y.ticks {
            let at = place(0, y.share(tick)).y
            text += "<path d=\"M\(Int(Self.left)) \(at)H\(Int(Self.right))\"/>"
            text += "<text x=\"\(Int(Self.left) - 6)\" y=\"\(at)\" dy=\"4\" text-anchor=\"end\">"
            text += "\(ReportText.number(tick))</text>\n"
        }
        for tick in x.ticks where tick == tick.rounded() {
            let at = place(x.share(tick), 0)
            text += "<text x=\"\(at.x)\" y=\"\(at.y)\" dy=\"18\" text-anchor=\"middle\">"
            text += "\(ReportText.number(tick, digits: 9))</text>\n"
        }
        return text
    }

    /// Most points that are marked one by one.
    private static let mostMarks = 60

    private func line(_ series: Series, _ x: Scale, _ y: Scale) -> String {
        let places = series.points.map { place(x.share(Double($0.step)), y.share($0.value)) }
        var text =
            "<polyline class=\"\(series.style)\" points=\""
            + places.map { "\($0.x),\($0.y)" }.joined(separator: " ") + "\"/>\n"
        guard places.count == 1 || (series.style == "other" && places.count <= Self.mostMarks)
        else { return text }
        for (x, y) in places {
            text += "<circle class=\"\(series.style)\" cx=\"\(x)\" cy=\"\(y)\" r=\"2.5\"/>\n"
        }
        return text
    }

    /// A coordinate in tenths.
    private static func coordinate(_ value: Double) -> String {
        let tenths = Int((min(max(value, -9999), 9999) * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(Double(tenths) / 10)"
    }

    /// From values to shares of the drawing's extent.
    private struct Scale {
        let low: Double
        let high: Double

        /// Covers values; nil when there are none, or their distance is no finite number.
        init?(_ values: [Double], fromZero: Bool = false) {
            guard var least = values.min(), let most = values.max() else { return nil }
            if fromZero { least = min(least, 0) }
            // A constant curve stands in the middle.
            let room = most > least ? 0 : max(most.magnitude * 0.1, 1e-12)
            (low, high) = (least - room, most + room)
            guard (high - low).isFinite, high > low else { return nil }
        }

        func share(_ value: Double) -> Double { (value - low) / (high - low) }

        /// Round numbers within the extent: four or so.
        var ticks: [Double] {
            let step = Scale.round((high - low) / 4)
            let first = (low / step).rounded(.up)
            guard step > 0, first.magnitude < 1e15 else { return [] }
            return (0...8).map { (first + Double($0)) * step }.filter { $0 <= high }
        }

        /// The next of 1, 2 and 5 with zeros.
        private static func round(_ value: Double) -> Double {
            var power = 1.0
            while power * 10 <= value, power < 1e300 { power *= 10 }
            while power > value, power > 1e-300 { power /= 10 }
            return [1, 2, 5].map { $0 * power }.first { $0 >= value } ?? 10 * power
        }
    }
}
