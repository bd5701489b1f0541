// SPDX-License-Identifier: Apache-2.0
// AdEMAMix (Pagliardini et al. 2024), as bitsandbytes computes it.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// AdamW with a second, slow mean of gradients.
struct AdEMAMix: UpdateRule {
    var betas: (first: Double, second: Double, third: Double)
    var alpha: Double
    var epsilon: Double
    /// Steps over which alpha and the third decay come to their values; at once when nil.
    var (alphaSteps, beta3Steps): (Int?, Int?)
    /// Whether the means stand in 8 bits.
    var isCoded: Bool

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        let (choice, settings) = (options.choice, options.settings)
        let decays = 0.0...0.9999999
        betas = (
            try options.number("beta1", in: decays) ?? settings.beta1 ?? choice.betas.first,
            try options.number("beta2", in: decays) ?? settings.beta2 ?? choice.betas.second,
            try options.number("beta3", in: decays) ?? 0.9999
        )
        alpha = try options.number("alpha", in: 0...1e6) ?? 5
        epsilon = try options.number("eps", in: 0...1) ?? settings.epsilon ?? choice.epsilon
        alphaSteps = try options.count("t_alpha")
        beta3Steps = try options.count("t_beta3")
        isCoded = choice.bits == 8
        guard beta3Steps == nil || betas.first > 0 && betas.third > 0 else {
            throw options.error("t_beta3", "needs beta1 and beta3 above 0")
        }
    }

    var name: String { isCoded ? "ademamix_8bit" : "ademamix" }

    func state(of shape: ParameterShape) -> [StatePart] {
        [
            .each("exp_avg", of: shape, coded: isCoded),
            .each("exp_avg_slow", of: shape, coded: isCoded),
            .each("exp_avg_sq", of: shape, coded: isCoded, isSigned: false),
        ]
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        var change = UpdateStep(.adEMAMix, rate: step.learningRate)
        change.gradientScale = step.gradientScale
        change.keep = step.keep
        change.epsilon = epsilon
        (change.beta1, change.beta2) = (betas.first, betas.second)
        change.beta3 = slowDecay(step.number)
        if let alphaSteps {
            change.alpha = min(Double(step.number) * alpha / Double(alphaSteps), alpha)
        } else {
            change.alpha = alpha
        }
        change.correction1 = step.correction(betas.first)
        change.correction2 = step.correction(betas.second).squareRoot()
        target.apply(change, ["exp_avg", "exp_avg_slow", "exp_avg_sq"])
    }

    /// The third decay, which grows from the first one so that the half-life grows evenly.
    private func slowDecay(_ step: Int) -> Double {
        guard let beta3Steps else { return betas.third }
        let (first, third) = (log(betas.first), log(betas.third))
        let share = Double(step) / Double(beta3Steps)
        return min(exp(first * third / ((1 - share) * third + share * first)), betas.third)
    }
}
