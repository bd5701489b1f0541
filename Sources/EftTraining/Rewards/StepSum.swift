// SPDX-License-Identifier: Apache-2.0
// What the scores of labelled steps cost.

#if canImport(Glibc)
    import Glibc
#endif

/// The cross entropy of labelled steps, and how many of them are told rightly.
struct StepSum {
    private var total = 0.0
    private var right = 0
    /// Steps so far.
    private(set) var count = 0

    /// Adds a step with a score for each label.
    mutating func add(_ scores: some Collection<Float>, _ label: Int) {
        let highest = scores.max() ?? 0
        let rest = log(scores.reduce(0.0) { $0 + exp(Double($1 - highest)) })
        let own = scores[scores.index(scores.startIndex, offsetBy: label)]
        total += Double(highest - own) + rest
        if own == highest { right += 1 }
        count += 1
    }

    /// The mean loss.
    var loss: Double { total / Double(max(count, 1)) }
    /// The share of steps whose label has the highest score.
    var accuracy: Double { Double(right) / Double(max(count, 1)) }
}
