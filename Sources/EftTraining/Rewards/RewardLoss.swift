// SPDX-License-Identifier: Apache-2.0
// What rewards of pairs cost.

/// The loss of Bradley and Terry of pairs of rewards, as TRL's `RewardTrainer` has it:
/// -log sigmoid(chosen - rejected), and `centering` times (chosen + rejected)^2.
struct RewardLoss: Sendable {
    /// The weight of the squared sum.
    let centering: Double

    /// What a micro-batch of pairs costs.
    struct Outcome: Sendable, Hashable {
        /// The mean loss.
        var loss = 0.0
        /// Its change with each reward: chosen and rejected in turn.
        var slopes: [Double]
        /// Mean rewards, and the share of pairs whose chosen answer has the higher one.
        var report = RewardReport()
    }

    /// The mean loss of pairs.
    /// - Parameter rewards: chosen and rejected of the first pair, then of the second, and so on.
    func pairs(_ rewards: [Double]) -> Outcome {
        let count = Double(max(rewards.count / 2, 1))
        var outcome = Outcome(slopes: [Double](repeating: 0, count: rewards.count))
        var (chosenSum, rejectedSum, right) = (0.0, 0.0, 0.0)
        for first in stride(from: 0, to: rewards.count - 1, by: 2) {
            let (chosen, rejected) = (rewards[first], rewards[first + 1])
            let (margin, sum) = (chosen - rejected, chosen + rejected)
            outcome.loss += (-logSigmoid(margin) + centering * sum * sum) / count
            let slope = -sigmoid(-margin)
            outcome.slopes[first] = (slope + 2 * centering * sum) / count
            outcome.slopes[first + 1] = (-slope + 2 * centering * sum) / count
            chosenSum += chosen
            rejectedSum += rejected
            if chosen > rejected { right += 1 }
        }
        outcome.report = RewardReport(
            chosen: chosenSum / count, rejected: rejectedSum / count, accuracy: right / count)
        return outcome
    }
}
