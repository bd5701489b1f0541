// SPDX-License-Identifier: Apache-2.0
// The rewards of preferences, as TRL's logs have them.
import EftConfig

/// Mean rewards of answers: how much more likely than its reference the model finds them, times beta; or what a reward
/// model gives them.
package struct RewardReport: Sendable, Hashable {
    /// Of chosen or desirable answers; nil when there were none.
    package var chosen: Double?
    /// Of rejected or undesirable answers; nil when there were none.
    package var rejected: Double?
    /// The share of pairs in which the chosen answer has the higher reward; nil without pairs.
    package var accuracy: Double?

    /// Puts means together.
    package init(chosen: Double? = nil, rejected: Double? = nil, accuracy: Double? = nil) {
        self.chosen = chosen
        self.rejected = rejected
        self.accuracy = accuracy
    }

    /// How much higher chosen answers are rewarded; nil when one of both is missing.
    package var margin: Double? {
        guard let chosen, let rejected else { return nil }
        return chosen - rejected
    }

    /// The entries of a line of the log.
    /// - Parameter prefix: what the names begin with, such as `eval_`.
    package func entries(prefix: String = "") -> [(key: String, value: ConfigNode)] {
        [
            ("rewards/chosen", chosen), ("rewards/rejected", rejected),
            ("rewards/accuracies", accuracy), ("rewards/margins", margin),
        ].compactMap { name, value in value.map { (prefix + name, ConfigNode(.real($0))) } }
    }
}

/// Means of rewards over micro-batches.
struct RewardSum {
    private var sums: [String: (sum: Double, weight: Double)] = [:]

    /// Adds a micro-batch of so many examples.
    mutating func add(_ outcome: PreferenceOutcome, examples: Int) {
        add(
            RewardReport(
                chosen: outcome.chosenReward, rejected: outcome.rejectedReward,
                accuracy: outcome.accuracy), examples: examples)
    }

    /// Adds the means of so many examples.
    mutating func add(_ report: RewardReport, examples: Int) {
        func add(_ name: String, _ value: Double?) {
            guard let value else { return }
            let before = sums[name] ?? (0, 0)
            sums[name] = (before.sum + value * Double(examples), before.weight + Double(examples))
        }
        add("chosen", report.chosen)
        add("rejected", report.rejected)
        add("accuracy", report.accuracy)
    }

    /// The means.
    var report: RewardReport {
        func mean(_ name: String) -> Double? { sums[name].map { $0.sum / $0.weight } }
        return RewardReport(
            chosen: mean("chosen"), rejected: mean("rejected"), accuracy: mean("accuracy"))
    }
}
