// SPDX-License-Identifier: Apache-2.0
// What is reported while a model is trained.
import EftTraining

/// What happens while a model is trained.
public enum TrainingUpdate: Sendable, Hashable {
    /// One step of training.
    public struct Step: Sendable, Hashable {
        /// Steps made, this one included.
        public let step: Int
        /// Steps of the run.
        public let totalSteps: Int
        /// Passes over the data, as a fraction.
        public let epoch: Double
        /// Mean loss of the step's trained tokens, in nats.
        public let loss: Double
        /// Norm of the gradient before clipping.
        public let gradientNorm: Double
        /// The step's learning rate.
        public let learningRate: Double
        /// Tokens of the step.
        public let tokens: Int
        /// Seconds of the step.
        public let seconds: Double
    }

    /// What a run came to.
    public struct Summary: Sendable, Hashable {
        /// Steps of the run.
        public let steps: Int
        /// The loss of the last step; nil when none was left to make.
        public let loss: Double?
        /// The last loss on the validation rows; nil without such rows.
        public let evaluationLoss: Double?
        /// Tokens that were trained on.
        public let tokens: Int
        /// Seconds of all steps.
        public let seconds: Double
        /// The folder with the results.
        public let output: String
    }

    /// The run is planned, and begins next.
    case planned(MemoryPlan, trainExamples: Int, validationExamples: Int, notices: [String])
    /// The base is being loaded.
    case loading(WorkProgress)
    /// The run goes on from a checkpoint after so many steps.
    case resumed(step: Int)
    /// A step was made.
    case step(Step)
    /// The validation rows were evaluated after so many steps; the loss is in nats a token.
    case evaluation(step: Int, loss: Double)
    /// A checkpoint was written.
    case saved(step: Int, folder: String)
    /// The run is done; nothing follows.
    case finished(Summary)

    init(_ event: TrainingJob.Event) {
        switch event {
        case .repacking(let done, let total):
            self = .loading(WorkProgress("writing layers to stream", done, total))
        case .loading(let done, let total):
            self = .loading(WorkProgress("loading layers", done, total))
        case .resumed(let step): self = .resumed(step: step)
        case .training(.step(let report)):
            self = .step(
                Step(
                    step: report.step, totalSteps: report.totalSteps, epoch: report.epoch,
                    loss: report.loss, gradientNorm: report.gradientNorm,
                    learningRate: report.learningRate, tokens: report.tokens,
                    seconds: report.seconds))
        case .training(.evaluation(let report)):
            self = .evaluation(step: report.step, loss: report.loss)
        case .training(.reference(let done, let total)):
            self = .loading(WorkProgress("asking the reference", done, total))
        case .training(.notice(let text)): self = .loading(WorkProgress(text, 1, 1))
        case .training(.saved(let step, let folder)): self = .saved(step: step, folder: folder)
        }
    }

    init(_ summary: TrainingJob.Summary) {
        self = .finished(
            Summary(
                steps: summary.steps, loss: summary.loss, evaluationLoss: summary.evaluationLoss,
                tokens: summary.tokens, seconds: summary.seconds, output: summary.outputDir))
    }
}
