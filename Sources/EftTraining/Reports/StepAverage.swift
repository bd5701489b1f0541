// SPDX-License-Identifier: Apache-2.0
// Several steps as one line of the log.

/// Steps since the last line of the log, as transformers sums them up with `logging_steps`: means of losses and rewards, the last
/// gradient norm and learning rate, the speed of all of them together.
struct StepAverage {
    private var last: StepReport?
    private var count = 0
    private var loss = 0.0
    private var tokens = 0
    private var trainedTokens = 0
    private var seconds = 0.0
    private var rollouts: [RolloutReport] = []
    private var rewards: [WritableKeyPath<RewardReport, Double?>: (sum: Double, count: Int)] = [:]

    /// Adds a step.
    mutating func add(_ report: StepReport) {
        last = report
        count += 1
        loss += report.loss
        tokens += report.tokens
        trainedTokens += report.trainedTokens
        seconds += report.seconds
        if let given = report.rollouts { rollouts.append(given) }
        guard let given = report.rewards else { return }
        for path in [\RewardReport.chosen, \.rejected, \.accuracy] {
            guard let value = given[keyPath: path] else { continue }
            let before = rewards[path] ?? (0, 0)
            rewards[path] = (before.sum + value, before.count + 1)
        }
    }

    /// The steps as one; nil without steps.
    var report: StepReport? {
        guard let last else { return nil }
        var means: RewardReport?
        if last.rewards != nil || !rewards.isEmpty {
            var report = RewardReport()
            for (path, value) in rewards {
                report[keyPath: path] = value.sum / Double(value.count)
            }
            means = report
        }
        return StepReport(
            step: last.step, totalSteps: last.totalSteps, epoch: last.epoch,
            loss: loss / Double(count), gradientNorm: last.gradientNorm,
            learningRate: last.learningRate, trainedTokens: trainedTokens, tokens: tokens,
            seconds: seconds, rewards: means, rollouts: RolloutReport.mean(rollouts))
    }
}
