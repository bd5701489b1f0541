// SPDX-License-Identifier: Apache-2.0
// The curves of a run, from the lines of its log.
import EftConfig

/// What is drawn of a run.
struct RunCurves: Sendable {
    /// Entries of the log that become curves; `smoothed_loss` is computed here.
    enum Name: String, Sendable, CaseIterable {
        case loss
        case smoothedLoss = "smoothed_loss"
        case evaluationLoss = "eval_loss"
        case evaluationBLEU = "eval_sacrebleu"
        case evaluationChrF = "eval_chrf"
        case evaluationTER = "eval_ter"
        case learningRate = "learning_rate"
        case gradientNorm = "grad_norm"
        case tokensPerSecond = "tokens_per_second"
        case residentBytes = "resident_bytes"
        case reward
        case evaluationReward = "eval_reward"
        case divergence = "kl"
        case margins = "rewards/margins"
        case evaluationMargins = "eval_rewards/margins"
        case accuracies = "rewards/accuracies"
        case evaluationAccuracies = "eval_rewards/accuracies"
    }

    private var curves: [Name: RunCurve] = [:]
    private var smoothed = SmoothedValue()

    /// A curve; an empty one when the log has no such entry.
    subscript(name: Name) -> RunCurve { curves[name] ?? RunCurve() }

    /// Takes a line of the log.
    mutating func add(_ line: ConfigObject) {
        guard case .integer(let step)? = line["step"]?.value else { return }
        for name in Name.allCases {
            guard let value = line[name.rawValue]?.number else { continue }
            curves[name, default: RunCurve()].add(step: step, value)
            guard name == .loss else { continue }
            smoothed.add(value)
            if let mean = smoothed.value {
                curves[.smoothedLoss, default: RunCurve()].add(step: step, mean)
            }
        }
    }
}
