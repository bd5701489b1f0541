// SPDX-License-Identifier: Apache-2.0
// Whether a run is worth going on with, and what of it was best.

/// Watches the losses of a run, as the callbacks of the Hugging Face trainer and of Axolotl do.
struct RunGuard: Sendable, Hashable {
    /// The lowest loss of an evaluation, and the step after which it was.
    private(set) var best: Best?
    /// Evaluations since then.
    private(set) var withoutGain = 0
    private var badSteps = 0
    private let patience: Int?
    private let watchdog: TrainingSettings.LossWatchdog?

    /// An evaluation's loss, and the steps made before.
    struct Best: Sendable, Hashable {
        let loss: Double
        let step: Int
    }

    init(_ settings: TrainingSettings) {
        patience = settings.earlyStoppingPatience
        watchdog = settings.lossWatchdog
    }

    /// Goes on with what a checkpoint says.
    mutating func resume(best: Best?, withoutGain: Int) {
        self.best = best
        self.withoutGain = withoutGain
    }

    /// Notes a step.
    /// - Returns: why the run is to end; nil when it goes on.
    mutating func noteStep(loss: Double) -> String? {
        guard let watchdog else { return nil }
        badSteps = loss > watchdog.threshold ? badSteps + 1 : 0
        guard badSteps >= watchdog.patience else { return nil }
        return
            "the loss was above loss_watchdog_threshold (\(watchdog.threshold)) in \(badSteps) steps in a row"
    }

    /// Notes an evaluation.
    /// - Returns: whether it was the best, and why the run is to end.
    mutating func noteEvaluation(loss: Double, step: Int) -> (isBest: Bool, end: String?) {
        if best.map({ loss < $0.loss }) ?? true {
            best = Best(loss: loss, step: step)
            withoutGain = 0
            return (true, nil)
        }
        withoutGain += 1
        guard let patience, withoutGain >= patience else { return (false, nil) }
        return (
            false,
            "no lower loss in \(withoutGain) evaluations (early_stopping_patience \(patience))"
        )
    }
}
