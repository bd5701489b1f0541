// SPDX-License-Identifier: Apache-2.0
// What preferences cost, and how that changes with the log-probabilities of the answers.

#if canImport(Glibc)
    import Glibc
#endif

/// The log-probability of an answer.
struct AnswerScore: Sendable, Hashable {
    /// Of all its tokens together, in nats.
    var sum: Double
    /// Its tokens.
    var tokens: Int
    /// How much a pair with it counts.
    var weight = 1.0

    /// The mean over its tokens.
    var mean: Double { sum / Double(max(tokens, 1)) }
}

/// What a micro-batch of preferences costs.
struct PreferenceOutcome: Sendable, Hashable {
    /// The mean loss of its pairs or answers.
    var loss = 0.0
    /// The loss's change with the summed log-probability of each answer, in the order of the batch.
    var gradients: [Double]
    /// The loss's change with the mean loss of the chosen answers' tokens.
    var chosenWeight = 0.0
    /// Mean rewards of the chosen (or desirable) and of the rejected answers; nil where there are none.
    var chosenReward: Double?
    var rejectedReward: Double?
    /// The share of pairs whose chosen answer has the higher reward; nil without pairs.
    var accuracy: Double?
}

/// The losses of Rafailov et al. 2023 (DPO) and of its kin, as TRL computes them.
struct PreferenceLoss: Sendable {
    let settings: PreferenceSettings

    private var beta: Double { settings.beta }

    // MARK: Pairs

    /// The loss of pairs.
    /// - Parameters:
    ///   - scores: chosen and rejected answer of the first pair, then of the second, and so on.
    ///   - references: the same by the reference; not looked at by methods without one.
    ///   - chosenLoss: the mean loss of the tokens of chosen answers, with their prompts where these are learned.
    func pairs(
        _ scores: [AnswerScore], references: [Double], chosenLoss: Double
    ) -> PreferenceOutcome {
        var outcome = PreferenceOutcome(gradients: [Double](repeating: 0, count: scores.count))
        let count = Double(max(scores.count / 2, 1))
        var (chosenRewards, rejectedRewards, right, weights) = (0.0, 0.0, 0.0, 0.0)
        for first in stride(from: 0, to: scores.count - 1, by: 2) {
            let pair = pair(scores, references, first)
            let weight = scores[first].weight * scores[first + 1].weight / count
            weights += weight
            outcome.loss += pair.loss * weight
            outcome.gradients[first] = pair.chosen * weight
            outcome.gradients[first + 1] = pair.rejected * weight
            chosenRewards += pair.rewards.chosen
            rejectedRewards += pair.rewards.rejected
            if pair.rewards.chosen > pair.rewards.rejected { right += 1 }
        }
        switch settings.method {
        case .dpo(let losses):
            outcome.chosenWeight =
                weights * losses.reduce(0) { $0 + ($1.loss == .sft ? $1.weight : 0) }
        case .orpo: outcome.chosenWeight = 1
        case .simpo, .cpo: outcome.chosenWeight = settings.cpoAlpha
        case .kto: break
        }
        outcome.loss += outcome.chosenWeight * chosenLoss
        outcome.chosenReward = chosenRewards / count
        outcome.rejectedReward = rejectedRewards / count
        outcome.accuracy = right / count
        return outcome
    }

    /// A pair's loss, and its change with the sums of both answers.
    private struct Pair {
        var loss = 0.0
        var chosen = 0.0
        var rejected = 0.0
        var rewards = (chosen: 0.0, rejected: 0.0)
    }

    private func pair(_ scores: [AnswerScore], _ references: [Double], _ first: Int) -> Pair {
        let (chosen, rejected) = (scores[first], scores[first + 1])
        switch settings.method {
        case .orpo: return oddsRatio(chosen, rejected)
        case .simpo: return simple(chosen, rejected)
        case .cpo: return contrastive(chosen, rejected)
        case .kto: return Pair()
        case .dpo(let losses):
            let lengths = (
                Double(max(chosen.tokens, 1)), Double(max(rejected.tokens, 1))
            )
            var (c, r) = (chosen.sum - references[first], rejected.sum - references[first + 1])
            var result = Pair(rewards: (beta * c, beta * r))
            if settings.averages { (c, r) = (c / lengths.0, r / lengths.1) }
            for loss in losses {
                let part = direct(loss.loss, c, r, lengths)
                result.loss += loss.weight * part.loss
                result.chosen += loss.weight * part.chosen
                result.rejected += loss.weight * part.rejected
            }
            if settings.averages {
                result.chosen /= lengths.0
                result.rejected /= lengths.1
            }
            return result
        }
    }

    /// The loss of the log-ratios to the reference, and its change with both.
    private func direct(
        _ loss: PreferenceSettings.Loss, _ c: Double, _ r: Double, _ lengths: (Double, Double)
    ) -> (loss: Double, chosen: Double, rejected: Double) {
        let x = beta * (c - r)
        let smoothing = settings.labelSmoothing
        /// A loss of the difference alone, whose change with x is `slope`.
        func difference(_ loss: Double, _ slope: Double) -> (Double, Double, Double) {
            (loss, beta * slope, -beta * slope)
        }
        switch loss {
        case .sigmoid:
            let margin = margin(x)
            return difference(margin.loss, margin.slope)
        case .hinge: return difference(max(1 - x, 0), x < 1 ? -1 : 0)
        case .robust:
            let scale = 1 / (1 - 2 * smoothing)
            return difference(
                scale * (-(1 - smoothing) * logSigmoid(x) + smoothing * logSigmoid(-x)),
                scale * (-(1 - smoothing) * sigmoid(-x) - smoothing * sigmoid(x)))
        case .ipo:
            let error = c / lengths.0 - r / lengths.1 - 1 / (2 * beta)
            return (error * error, 2 * error / lengths.0, -2 * error / lengths.1)
        case .sigmoidNorm:
            let x = beta * (c / lengths.0 - r / lengths.1)
            let slope = -beta * sigmoid(-x)
            return (-logSigmoid(x), slope / lengths.0, -slope / lengths.1)
        case .exoPair:
            // Without smoothing the rejected answer's share would have an infinite logarithm.
            let rejected = smoothing > 0 ? smoothing : 1e-3
            let (p, q) = (sigmoid(x), sigmoid(-x))
            let (a, b) = (logSigmoid(x) - log1p(-rejected), logSigmoid(-x) - log(rejected))
            return difference(p * a + q * b, p * q * (a - b))
        case .discopop:
            let temperature = 0.05
            let share = sigmoid(x / temperature)
            let slope = share * (1 - share) / temperature
            return difference(
                -logSigmoid(x) * (1 - share) + exp(-x) * share,
                -sigmoid(-x) * (1 - share) + logSigmoid(x) * slope - exp(-x) * share
                    + exp(-x) * slope)
        case .sft: return (0, 0, 0)
        case .ncaPair, .bcoPair, .sppoHard, .apoZero, .apoDown: return separate(loss, c, r)
        }
    }

    /// Losses that look at both answers one by one.
    private func separate(
        _ loss: PreferenceSettings.Loss, _ c: Double, _ r: Double
    ) -> (loss: Double, chosen: Double, rejected: Double) {
        let (x, y) = (beta * c, beta * r)
        func bell(_ value: Double) -> Double { sigmoid(value) * sigmoid(-value) }
        switch loss {
        case .ncaPair:
            return (
                -logSigmoid(x) - 0.5 * logSigmoid(-x) - 0.5 * logSigmoid(-y),
                beta * (-sigmoid(-x) + 0.5 * sigmoid(x)), 0.5 * beta * sigmoid(y)
            )
        case .bcoPair:
            return (-logSigmoid(x) - logSigmoid(-y), -beta * sigmoid(-x), beta * sigmoid(y))
        case .sppoHard:
            let (a, b) = (c - 0.5 / beta, r + 0.5 / beta)
            return (a * a + b * b, 2 * a, 2 * b)
        case .apoZero:
            return (sigmoid(-x) + sigmoid(y), -beta * bell(x), beta * bell(y))
        default:
            // apo_down.
            let both = beta * bell(x - y)
            return (sigmoid(x) + sigmoid(y - x), beta * bell(x) - both, both)
        }
    }

    /// The odds ratio of Hong et al. 2024.
    private func oddsRatio(_ chosen: AnswerScore, _ rejected: AnswerScore) -> Pair {
        func rest(_ mean: Double) -> Double { max(-expm1(mean), 1e-12) }
        let (a, b) = (rest(chosen.mean), rest(rejected.mean))
        let odds = (chosen.mean - rejected.mean) - (log(a) - log(b))
        let slope = -beta * sigmoid(-odds)
        return Pair(
            loss: -beta * logSigmoid(odds),
            chosen: slope / a / Double(max(chosen.tokens, 1)),
            rejected: -slope / b / Double(max(rejected.tokens, 1)),
            rewards: (beta * chosen.mean, beta * rejected.mean))
    }

    /// The margin of Meng et al. 2024.
    private func simple(_ chosen: AnswerScore, _ rejected: AnswerScore) -> Pair {
        let margin = margin(beta * (chosen.mean - rejected.mean) - settings.simpoGamma)
        return Pair(
            loss: margin.loss,
            chosen: beta * margin.slope / Double(max(chosen.tokens, 1)),
            rejected: -beta * margin.slope / Double(max(rejected.tokens, 1)),
            rewards: (beta * chosen.mean, beta * rejected.mean))
    }

    /// The contrast of Xu et al. 2024.
    private func contrastive(_ chosen: AnswerScore, _ rejected: AnswerScore) -> Pair {
        let margin = margin(beta * (chosen.sum - rejected.sum))
        return Pair(
            loss: margin.loss, chosen: beta * margin.slope, rejected: -beta * margin.slope,
            rewards: (beta * chosen.sum, beta * rejected.sum))
    }

    /// The loss of a pair whose answers are `x` apart, and its change with x.
    private func margin(_ x: Double) -> (loss: Double, slope: Double) {
        let smoothing = settings.labelSmoothing
        return (
            -(1 - smoothing) * logSigmoid(x) - smoothing * logSigmoid(-x),
            -(1 - smoothing) * sigmoid(-x) + smoothing * sigmoid(x)
        )
    }

    // MARK: Single answers

    /// The loss of Ethayarajh et al. 2024 of answers that are desirable or not.
    /// - Parameter divergence: how far the model is from its reference, estimated on answers to other prompts.
    func single(
        _ scores: [AnswerScore], references: [Double], desirable: [Bool], divergence: Double
    ) -> PreferenceOutcome {
        var outcome = PreferenceOutcome(gradients: [Double](repeating: 0, count: scores.count))
        let count = Double(max(scores.count, 1))
        var rewards: [Bool: (sum: Double, count: Double)] = [:]
        for (index, score) in scores.enumerated() {
            let ratio = score.sum - references[index]
            let isGood = desirable[index]
            let x = beta * (isGood ? ratio - divergence : divergence - ratio)
            let weight =
                (isGood ? settings.desirableWeight : settings.undesirableWeight) / count
            outcome.loss += weight * sigmoid(-x)
            outcome.gradients[index] =
                (isGood ? -1 : 1) * weight * beta * sigmoid(x) * sigmoid(-x)
            let before = rewards[isGood] ?? (0, 0)
            rewards[isGood] = (before.sum + beta * ratio, before.count + 1)
        }
        outcome.chosenReward = rewards[true].map { $0.sum / $0.count }
        outcome.rejectedReward = rewards[false].map { $0.sum / $0.count }
        return outcome
    }
}
