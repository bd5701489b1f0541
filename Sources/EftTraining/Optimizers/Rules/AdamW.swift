// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019), as PyTorch computes it; with 8 bits as bitsandbytes does.
import EftTensor

/// Running means of gradients and of their squares.
struct AdamW: UpdateRule {
    var beta1: Double
    var beta2: Double
    var epsilon: Double
    /// Whether the means stand in 8 bits.
    var isCoded: Bool
    /// Whether epsilon is added to the corrected root, as in PyTorch, or to the root as it is kept.
    var correctsEpsilon = true

    init(_ options: inout OptimizerOptions) {
        beta1 = options.settings.beta1 ?? options.choice.betas.first
        beta2 = options.settings.beta2 ?? options.choice.betas.second
        epsilon = options.settings.epsilon ?? options.choice.epsilon
        isCoded = options.choice.bits == 8
    }

    var name: String { isCoded ? "adamw_8bit" : "adamw" }

    func state(of shape: ParameterShape) -> [StatePart] {
        [
            .each("exp_avg", of: shape, coded: isCoded),
            .each("exp_avg_sq", of: shape, coded: isCoded, isSigned: false),
        ]
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        var change = UpdateStep(.adamW, rate: step.learningRate / step.correction(beta1))
        change.gradientScale = step.gradientScale
        change.keep = step.keep
        (change.beta1, change.beta2) = (beta1, beta2)
        change.correction2 = step.correction(beta2).squareRoot()
        change.epsilon = correctsEpsilon ? epsilon : epsilon / change.correction2
        target.apply(change, ["exp_avg", "exp_avg_sq"])
    }
}
