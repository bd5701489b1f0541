// SPDX-License-Identifier: Apache-2.0
// Lion (Chen et al. 2023): the sign of a mean of gradients.
import EftTensor

/// A running mean of gradients, of which only signs count. Weight decay is decoupled, as in lion-pytorch and the CUDA
/// kernels of bitsandbytes.
struct Lion: UpdateRule {
    var beta1: Double
    var beta2: Double
    /// Whether the mean stands in 8 bits.
    var isCoded: Bool

    init(_ options: inout OptimizerOptions) {
        beta1 = options.settings.beta1 ?? options.choice.betas.first
        beta2 = options.settings.beta2 ?? options.choice.betas.second
        isCoded = options.choice.bits == 8
    }

    var name: String { isCoded ? "lion_8bit" : "lion" }

    func state(of shape: ParameterShape) -> [StatePart] {
        [.each("exp_avg", of: shape, coded: isCoded)]
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        var change = UpdateStep(.lion, rate: step.learningRate)
        change.gradientScale = step.gradientScale
        change.keep = step.keep
        (change.beta1, change.beta2) = (beta1, beta2)
        target.apply(change, ["exp_avg"])
    }
}
