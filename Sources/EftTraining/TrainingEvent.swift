// SPDX-License-Identifier: Apache-2.0
// What a training run tells while it goes on.
import EftConfig

/// Something that happened in a training run.
package enum TrainingEvent: Sendable {
    /// A step was made.
    case step(StepReport)
    /// The validation set was evaluated.
    case evaluation(EvaluationReport)
    /// The reference's log-probabilities of so many examples are known.
    case reference(done: Int, total: Int)
    /// Something that the user should know.
    case notice(String)
    /// A checkpoint was written.
    case saved(step: Int, folder: String)
}

/// One step of training.
package struct StepReport: Sendable {
    /// Steps made, this one included.
    package let step: Int
    /// Steps of the run.
    package let totalSteps: Int
    /// Epochs gone through, as a fraction.
    package let epoch: Double
    /// Mean loss of the step's learned tokens.
    package let loss: Double
    /// The norm of the gradient before clipping.
    package let gradientNorm: Double
    /// The learning rate of the step.
    package let learningRate: Double
    /// Learned tokens of the step.
    package let trainedTokens: Int
    /// All tokens of the step.
    package let tokens: Int
    /// Seconds that the step took.
    package let seconds: Double
    /// The rewards of preferences, in a run that learns from them.
    package let rewards: RewardReport?
    /// The rewards of completions, in a run that learns from them.
    package let rollouts: RolloutReport?

    /// The step as a line of the log.
    package var entries: ConfigObject {
        var object = ConfigObject()
        object["step"] = ConfigNode(.integer(step))
        object["epoch"] = ConfigNode(.real(epoch))
        object["loss"] = ConfigNode(.real(loss))
        object["grad_norm"] = ConfigNode(.real(gradientNorm))
        object["learning_rate"] = ConfigNode(.real(learningRate))
        object["tokens"] = ConfigNode(.integer(tokens))
        object["trained_tokens"] = ConfigNode(.integer(trainedTokens))
        object["tokens_per_second"] = ConfigNode(.real(seconds > 0 ? Double(tokens) / seconds : 0))
        for (key, value) in rewards?.entries() ?? [] { object[key] = value }
        for (key, value) in rollouts?.entries() ?? [] { object[key] = value }
        return object
    }
}

/// One evaluation of the validation set.
package struct EvaluationReport: Sendable {
    /// Steps made before.
    package let step: Int
    /// The mean loss of learned tokens, or of preferences.
    package let loss: Double
    /// Epochs gone through, as a fraction.
    package let epoch: Double
    /// Tokens that count.
    package let tokens: Int
    /// Examples of the validation set.
    package let examples: Int
    /// Seconds that the evaluation took.
    package let seconds: Double
    /// The perplexity, where `eval_causal_lm_metrics` asks for it.
    package let perplexity: Double?
    /// Measures of answers, where `eval_causal_lm_metrics` asks for them.
    package let measures: [AnswerMeasure]
    /// The rewards of preferences, in a run that learns from them.
    package let rewards: RewardReport?
    /// The rewards of completions, in a run that learns from them.
    package let rollouts: RolloutReport?

    /// The evaluation as a line of the log.
    package var entries: ConfigObject {
        var object: ConfigObject = [
            "step": ConfigNode(step), "epoch": ConfigNode(epoch), "eval_loss": ConfigNode(loss),
            "eval_tokens": ConfigNode(tokens), "eval_runtime": ConfigNode(seconds),
        ]
        if seconds > 0 {
            object["eval_samples_per_second"] = ConfigNode(Double(examples) / seconds)
        }
        if let perplexity { object["eval_perplexity"] = ConfigNode(perplexity) }
        for measure in measures {
            object["eval_" + measure.metric.rawValue] = ConfigNode(measure.value)
        }
        for (key, value) in rewards?.entries(prefix: "eval_") ?? [] { object[key] = value }
        for (key, value) in rollouts?.entries(prefix: "eval_") ?? [] { object[key] = value }
        return object
    }
}
