// SPDX-License-Identifier: Apache-2.0
// What a training run minimizes.
import EftModels

/// What a training run minimizes: how a step's micro-batches become a loss and gradients.
protocol TrainingObjective {
    /// Computes what must be known of the model before it is trained.
    /// - Parameters:
    ///   - batches: all micro-batches of the run.
    ///   - bins: those of an evaluation.
    ///   - progress: told how much of how much is done; what it throws ends the work.
    func prepare(
        _ pass: TrainingPass, batches: [[Int]], bins: [[Int]],
        _ progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws

    /// Adds up the gradients of a step.
    /// - Parameters:
    ///   - batches: its micro-batches, each a list of examples.
    ///   - step: the number of the step, from 0.
    ///   - pause: called between micro-batches; what it throws ends the step.
    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult

    /// The loss of the validation examples that are listed in batches.
    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult
}

extension TrainingObjective {
    /// Most need to know nothing.
    func prepare(
        _ pass: TrainingPass, batches: [[Int]], bins: [[Int]],
        _ progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {}
}

/// What a step came to.
struct StepResult {
    /// The mean loss.
    var loss = 0.0
    /// Tokens that went through the model.
    var tokens = 0
    /// Tokens of which something was learned.
    var trainedTokens = 0
    /// The rewards of preferences.
    var rewards: RewardReport?
    /// The rewards of completions.
    var rollouts: RolloutReport?
}

/// What an evaluation came to.
struct EvaluationResult {
    /// The mean loss.
    var loss = 0.0
    /// Tokens that count.
    var tokens = 0
    /// The rewards of completions.
    var rollouts: RolloutReport?
    /// The rewards of preferences.
    var rewards: RewardReport?
}
