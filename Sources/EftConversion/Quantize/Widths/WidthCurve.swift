// SPDX-License-Identifier: Apache-2.0
// The best options of a block, from what its linear layers were measured to cost one by one.
import EftQuant

/// Combines the curves of linear layers into that of their block.
enum WidthCurve {
    /// What a linear layer, or the like layers of all experts, can be.
    struct Point: Sendable, Hashable {
        let sections: [EXL2Section]
        let bits: Int
        /// What the widths cost, in nats a token.
        let loss: Double
    }

    /// Adds up what like layers of two experts cost with the same widths.
    static func sum(_ a: [Point]?, _ b: [Point]) -> [Point] {
        guard let a else { return b }
        return zip(a, b).map {
            Point(sections: $0.sections, bits: $0.bits + $1.bits, loss: $0.loss + $1.loss)
        }
    }

    /// The options of a block, by rising size: from all layers at their smallest, each step widens that layer whose loss
    /// falls most for a bit. With convex curves these are all mixes that are best at some price of a bit.
    static func options(of block: WidthBlock, losses: [String: [Point]]) -> [WidthOption] {
        let curves = block.projections.map { hull(losses[$0] ?? []) }
        guard curves.allSatisfy({ !$0.isEmpty }) else { return [] }
        var places = [Int](repeating: 0, count: curves.count)
        var options = [option(block, curves, places)]
        while true {
            var best: (slope: Double, curve: Int)?
            for (index, curve) in curves.enumerated() where places[index] + 1 < curve.count {
                let slope = slope(curve[places[index]], curve[places[index] + 1])
                if slope > best?.slope ?? -1 { best = (slope, index) }
            }
            guard let best else { return options }
            places[best.curve] += 1
            options.append(option(block, curves, places))
        }
    }

    /// What a bit more gains.
    private static func slope(_ a: Point, _ b: Point) -> Double {
        (a.loss - b.loss) / Double(max(b.bits - a.bits, 1))
    }

    /// The points on the lower convex hull, by rising bits and falling loss.
    static func hull(_ points: [Point]) -> [Point] {
        var hull: [Point] = []
        for point in points.sorted(by: { ($0.bits, $0.loss) < ($1.bits, $1.loss) }) {
            if let last = hull.last, point.loss >= last.loss { continue }
            while hull.count > 1,
                slope(hull[hull.count - 2], hull[hull.count - 1])
                    <= slope(hull[hull.count - 1], point)
            {
                hull.removeLast()
            }
            hull.append(point)
        }
        return hull
    }

    private static func option(
        _ block: WidthBlock, _ curves: [[Point]], _ places: [Int]
    ) -> WidthOption {
        let points = zip(curves, places).map { $0[$1] }
        let loss = points.reduce(0.0) { $0 + $1.loss }
        // Readers that know no divergence get the relative error that would cost as much: e^2 / 2 nats.
        let accuracy = max(1e-6, 1 - (2 * loss).squareRoot())
        return WidthOption(
            accuracy: accuracy, bits: points.reduce(0) { $0 + $1.bits }, divergence: loss,
            sections: Dictionary(
                zip(block.projections, points.map(\.sections)),
                uniquingKeysWith: { a, _ in a }))
    }
}
