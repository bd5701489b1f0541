// SPDX-License-Identifier: Apache-2.0
// From rewards to how much better a completion is than the others of its prompt.

/// Advantages of completions over those of the same prompt (Shao et al. 2024), as TRL computes them.
struct GroupAdvantages: Sendable, Hashable {
    /// Of each completion; 0 where it could not be judged.
    let values: [Double]
    /// Mean and standard deviation of all rewards.
    let mean: Double
    let deviation: Double
    /// The share of completions in whose group, or batch, all rewards are the same.
    let sameShare: Double

    /// Keeps a division by the deviation finite.
    private static let least = 1e-4

    /// Weighs rewards and compares them within groups.
    /// - Parameters:
    ///   - rewards: for each command those of all completions, the completions of a prompt side by side.
    ///   - size: completions of a prompt.
    init(
        _ rewards: [[Double?]], weights: [Double], size: Int, scaling: RolloutSettings.Scaling
    ) {
        let count = rewards.first?.count ?? 0
        let sums = (0..<count).map { index -> Double? in
            let known = zip(rewards, weights).compactMap { rewards, weight in
                rewards[index].map { $0 * weight }
            }
            return known.isEmpty ? nil : known.reduce(0, +)
        }
        let whole = Self.moments(sums)
        var values: [Double] = []
        var same = 0
        for first in stride(from: 0, to: count, by: max(size, 1)) {
            let group = sums[first..<min(first + max(size, 1), count)]
            let own = Self.moments(group)
            let deviation = scaling == .batch ? whole.deviation : own.deviation
            if deviation.map({ abs($0) <= 1e-8 }) ?? false { same += group.count }
            for reward in group {
                guard let reward, let mean = own.mean else {
                    values.append(0)
                    continue
                }
                let difference = reward - mean
                // A group of which one completion was judged has no deviation, and teaches nothing.
                values.append(
                    scaling == .none
                        ? difference : deviation.map { difference / ($0 + Self.least) } ?? 0)
            }
        }
        self.values = values
        mean = whole.mean ?? 0
        deviation = whole.deviation ?? 0
        sameShare = Double(same) / Double(max(count, 1))
    }

    /// Mean, and standard deviation by n - 1; nil where there are too few numbers.
    private static func moments(
        _ values: some Sequence<Double?>
    ) -> (mean: Double?, deviation: Double?) {
        let known = values.compactMap { $0 }
        guard !known.isEmpty else { return (nil, nil) }
        let mean = known.reduce(0, +) / Double(known.count)
        guard known.count > 1 else { return (mean, nil) }
        let squares = known.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / Double(known.count - 1)).squareRoot())
    }
}
