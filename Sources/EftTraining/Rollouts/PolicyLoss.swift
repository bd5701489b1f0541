// SPDX-License-Identifier: Apache-2.0
// What completions cost, and how that changes with the log-probabilities of their tokens.

#if canImport(Glibc)
    import Glibc
#endif

/// The clipped objective of group relative policy optimization, as TRL computes it.
struct PolicyLoss: Sendable {
    let settings: RolloutSettings

    /// A completion: log-probabilities of its tokens by the model, by the model that sampled it, and by the reference.
    struct Completion: Sendable {
        var current: [Double]
        /// Those of the model itself when nil.
        var old: [Double]?
        /// Not looked at when beta is 0.
        var reference: [Double] = []
        var advantage: Double
        /// Whether it teaches nothing.
        var isMasked = false

        /// Tokens that count.
        var count: Int { isMasked ? 0 : current.count }
    }

    /// What a micro-batch costs.
    struct Outcome: Sendable, Hashable {
        /// Its share of the step's loss.
        var loss = 0.0
        /// The loss's change with each log-probability.
        var slopes: [[Double]] = []
        /// The mean divergence from the reference.
        var divergence = 0.0
        /// The share of tokens, or of completions, whose ratio is clipped.
        var clipped = 0.0
    }

    /// The loss of a micro-batch.
    /// - Parameters:
    ///   - batches: micro-batches of the step.
    ///   - tokens: tokens of the step that count.
    func outcome(_ completions: [Completion], batches: Int, tokens: Int) -> Outcome {
        var outcome = Outcome()
        let own = completions.reduce(0) { $0 + $1.count }
        var (divergence, clipped) = (0.0, 0)
        for completion in completions {
            let weight = weight(
                completion, in: completions.count, batches: batches, own: own, all: tokens)
            let ratios = ratios(completion)
            var slopes = [Double](repeating: 0, count: completion.current.count)
            // Of a ratio of the whole completion each token has an equal part.
            var shared = 0.0
            for place in completion.current.indices {
                let ratio = ratios.count == 1 ? ratios[0] : ratios[place]
                let part = clippedGain(ratio, completion.advantage)
                if part.isClipped, ratios.count > 1 || place == 0 {
                    clipped += ratios.count == 1 ? 1 : completion.isMasked ? 0 : 1
                }
                guard weight > 0 else { continue }
                outcome.loss -= weight * part.value
                if settings.ratiosOfSequences {
                    shared -= weight * part.slope / Double(completion.current.count)
                } else {
                    slopes[place] -= weight * part.slope
                }
                guard settings.beta > 0 else { continue }
                let difference = completion.reference[place] - completion.current[place]
                let estimate = exp(difference) - difference - 1
                divergence += estimate
                outcome.loss += weight * settings.beta * estimate
                slopes[place] += weight * settings.beta * (1 - exp(difference))
            }
            outcome.slopes.append(slopes.map { $0 + shared })
        }
        outcome.divergence = divergence / Double(max(own, 1))
        let ratios = settings.ratiosOfSequences ? completions.count : own
        outcome.clipped = Double(clipped) / Double(max(ratios, 1))
        return outcome
    }

    /// What the loss of each of a completion's tokens counts times.
    private func weight(
        _ completion: Completion, in count: Int, batches: Int, own: Int, all: Int
    ) -> Double {
        guard !completion.isMasked else { return 0 }
        let (completions, batches) = (Double(max(count, 1)), Double(max(batches, 1)))
        switch settings.lossType {
        case .grpo: return 1 / (Double(max(completion.count, 1)) * completions * batches)
        case .bnpo: return 1 / (Double(max(own, 1)) * batches)
        case .drGRPO: return 1 / (completions * Double(settings.maxCompletionLength) * batches)
        case .dapo: return 1 / Double(max(all, 1))
        }
    }

    /// How much likelier each token is than when it was sampled; or how much the whole completion is, by its mean token.
    private func ratios(_ completion: Completion) -> [Double] {
        guard let old = completion.old else {
            let count = settings.ratiosOfSequences ? 1 : completion.current.count
            return [Double](repeating: 1, count: count)
        }
        let changes = zip(completion.current, old).map { $0 - $1 }
        guard settings.ratiosOfSequences else { return changes.map { exp($0) } }
        // TRL sums over what is not masked.
        let sum = completion.isMasked ? 0 : changes.reduce(0, +)
        return [exp(sum / Double(max(changes.count, 1)))]
    }

    /// What a ratio gains, its change with the ratio's logarithm, and whether it went too far.
    private func clippedGain(
        _ ratio: Double, _ advantage: Double
    ) -> (value: Double, slope: Double, isClipped: Bool) {
        let (least, most) = (1 - settings.epsilon, 1 + settings.epsilonHigh)
        let bounded = min(max(ratio, least), most)
        let free = settings.delta.map { min(ratio, $0) } ?? ratio
        let isClipped = (free < least && advantage < 0) || (free > most && advantage > 0)
        let (own, clipped) = (free * advantage, bounded * advantage)
        if own <= clipped {
            return (own, free < ratio ? 0 : ratio * advantage, isClipped)
        }
        return (clipped, bounded == ratio ? ratio * advantage : 0, isClipped)
    }
}
