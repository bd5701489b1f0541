// SPDX-License-Identifier: Apache-2.0
// Means, spreads and percentiles, as numpy defines them.

/// A list of numbers summed up; an empty one is all zeros.
package struct Statistics: Sendable, Hashable {
    private let sorted: [Double]
    /// The mean.
    package let mean: Double
    /// The standard deviation, of the numbers as a whole population.
    package let deviation: Double

    /// Sums up.
    package init(_ values: [Double]) {
        sorted = values.sorted()
        let count = Double(max(values.count, 1))
        let mean = values.reduce(0, +) / count
        self.mean = mean
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        deviation = (squares / count).squareRoot()
    }

    /// The number below which a share of all lies, with linear interpolation between neighbours.
    /// - Parameter percent: from 0 to 100.
    package func percentile(_ percent: Double) -> Double {
        guard let first = sorted.first else { return 0 }
        let place = min(max(percent, 0), 100) / 100 * Double(sorted.count - 1)
        guard place.isFinite else { return first }
        let low = Int(place.rounded(.down))
        let part = place - Double(low)
        let high = min(low + 1, sorted.count - 1)
        return sorted[low] + (sorted[high] - sorted[low]) * part
    }

    /// The median.
    package var median: Double { percentile(50) }
}
