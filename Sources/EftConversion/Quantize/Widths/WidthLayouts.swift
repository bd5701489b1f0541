// SPDX-License-Identifier: Apache-2.0
// Layouts of one matrix in which each input has the width that it is worth.
import EftQuant

/// Candidates for the widths of a matrix: for a ladder of mean widths that division of its inputs whose rounding errors
/// cost least.
///
/// A rounding error of a stored row costs its weight (the square of what GPTQ divides errors by) times the distortion of
/// its width, so a budget is spent best by the rule of reverse water-filling: the dearer a row, the more bits. The format
/// wants wide rows first, and the rows of a group alike; under these bounds the division is exact (dynamic programming
/// over groups for a price of a bit, and a search for the price).
enum WidthLayouts {
    /// Mean widths of the candidates, scales not counted.
    static let ladder = [2, 2.15, 2.3, 2.5, 2.75, 3, 3.25, 3.5, 3.75, 4, 4.5, 5, 5.5, 6, 7, 8]

    /// Mean squared error of a uniform quantizer for normal numbers of variance 1, by width; scales of groups included
    /// as far as they matter for the ratios.
    private static let distortions: [(bits: Int, error: Double)] = [
        (2, 0.1188), (3, 0.0374), (4, 0.0115), (5, 0.0035), (6, 0.00104), (8, 0.000082),
    ]

    /// The candidates of a matrix, by rising width.
    /// - Parameter rowWeights: what an error of each stored row costs, all positive; their number a multiple of 32.
    static func candidates(rowWeights: [Float]) -> [[EXL2Section]] {
        var found: [[EXL2Section]] = []
        for mean in ladder {
            let layout = sections(rowWeights: rowWeights, mean: mean)
            if !found.contains(layout) { found.append(layout) }
        }
        return found
    }

    /// Inputs that share a scale: few for narrow codes and small matrices.
    static func groupSize(mean: Double, inputs: Int) -> Int {
        if inputs <= 1024 { return 32 }
        return mean < 3.5 ? 64 : 128
    }

    /// The division whose mean width is the largest not above `mean` (but at least 2).
    static func sections(rowWeights: [Float], mean: Double) -> [EXL2Section] {
        let size = groupSize(mean: mean, inputs: rowWeights.count)
        let groups = stride(from: 0, to: rowWeights.count, by: size).map { first in
            rowWeights[first..<min(first + size, rowWeights.count)]
        }
        let weights = groups.map { group in group.reduce(0.0) { $0 + Double($1) } }
        let rows = groups.map(\.count)
        // The price of a bit at which the mean is reached, as an exponent of 2.
        let total = max(weights.reduce(0, +), .leastNormalMagnitude)
        var (low, high) = (-60.0, 20.0)
        var best = [Int](repeating: 0, count: groups.count)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            let price = pow2(middle) * total / Double(rowWeights.count)
            let widths = divide(weights, rows, price: price)
            let bits = zip(widths, rows).reduce(0) { $0 + distortions[$1.0].bits * $1.1 }
            if Double(bits) <= mean * Double(rowWeights.count) {
                (best, high) = (widths, middle)
            } else {
                low = middle
            }
        }
        return sections(best, rows, size: size, inputs: rowWeights.count)
    }

    private static func pow2(_ exponent: Double) -> Double {
        let whole = exponent.rounded(.down)
        // Linear between powers: the search only needs a rising function.
        return Double(sign: .plus, exponent: Int(whole), significand: 1 + exponent - whole)
    }

    /// The widths of groups, not rising, that cost least when a bit of a row has a price; as places in `distortions`.
    private static func divide(_ weights: [Double], _ rows: [Int], price: Double) -> [Int] {
        let count = distortions.count
        // costs[w]: the least cost of the groups so far when the last one has width w or more; wide ones first.
        var costs = [Double](repeating: 0, count: count)
        var choices: [[Int]] = []
        for (weight, rows) in zip(weights, rows) {
            var choice = [Int](repeating: 0, count: count)
            var next = [Double](repeating: 0, count: count)
            // The cheapest way to have had a width of at least w before.
            var (best, bestAt) = (Double.infinity, count - 1)
            for width in (0..<count).reversed() {
                if costs[width] < best { (best, bestAt) = (costs[width], width) }
                let (bits, error) = distortions[width]
                next[width] = best + weight * error + price * Double(bits * rows)
                choice[width] = bestAt
            }
            costs = next
            choices.append(choice)
        }
        var width = costs.indices.min { costs[$0] < costs[$1] } ?? 0
        var widths: [Int] = []
        for choice in choices.reversed() {
            widths.append(width)
            width = choice[width]
        }
        return widths.reversed()
    }

    private static func sections(
        _ widths: [Int], _ rows: [Int], size: Int, inputs: Int
    ) -> [EXL2Section] {
        var runs: [(width: Int, rows: Int)] = []
        for (width, rows) in zip(widths, rows) {
            if let last = runs.last, last.width == width {
                runs[runs.count - 1].rows += rows
            } else {
                runs.append((width, rows))
            }
        }
        var rest = 1.0
        return runs.enumerated().map { index, run in
            let isLast = index == runs.count - 1
            let share =
                isLast ? rest : EXL2Geometry.share(rows: run.rows, inputs: inputs, groupSize: size)
            rest -= share
            return EXL2Section(
                bits: distortions[run.width].bits, groupSize: size, proportion: share)
        }
    }
}
