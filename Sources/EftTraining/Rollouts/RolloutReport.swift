// SPDX-License-Identifier: Apache-2.0
// What is told of completions and their rewards, under TRL's names.
import EftConfig

/// Rewards and lengths of the completions of a step, and how far the model has gone from what it was.
package struct RolloutReport: Sendable, Hashable {
    /// Mean and standard deviation of the rewards.
    package var reward = 0.0
    package var deviation = 0.0
    /// The share of completions in whose group all rewards are the same, of which nothing is learned.
    package var sameShare = 0.0
    /// Mean tokens of a completion.
    package var length = 0.0
    /// The share of completions without an end.
    package var truncated = 0.0
    /// The mean divergence from the reference.
    package var divergence = 0.0
    /// The share of ratios that were clipped.
    package var clipped = 0.0

    /// All figures by their names.
    static let figures: [(name: String, path: WritableKeyPath<RolloutReport, Double> & Sendable)] =
        [
            ("reward", \.reward), ("reward_std", \.deviation),
            ("frac_reward_zero_std", \.sameShare),
            ("completions/mean_length", \.length), ("completions/clipped_ratio", \.truncated),
            ("kl", \.divergence), ("clip_ratio/region_mean", \.clipped),
        ]

    /// The entries of a line of the log.
    /// - Parameter prefix: what the names begin with, such as `eval_`.
    package func entries(prefix: String = "") -> [(key: String, value: ConfigNode)] {
        Self.figures.map { (prefix + $0.name, ConfigNode(.real(self[keyPath: $0.path]))) }
    }

    /// The means of some reports; nil without any.
    static func mean(_ reports: [RolloutReport]) -> RolloutReport? {
        guard !reports.isEmpty else { return nil }
        var mean = RolloutReport()
        for (_, path) in figures {
            mean[keyPath: path] =
                reports.reduce(0) { $0 + $1[keyPath: path] } / Double(reports.count)
        }
        return mean
    }
}
