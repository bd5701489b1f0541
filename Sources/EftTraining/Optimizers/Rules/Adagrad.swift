// SPDX-License-Identifier: Apache-2.0
// Adagrad (Duchi et al. 2011), as PyTorch computes it.
import EftTensor

/// Gradients over the root of the sum of their squares. Weight decay is added to the gradient.
struct Adagrad: UpdateRule {
    var rateDecay: Double
    var epsilon: Double

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        rateDecay = try options.number("lr_decay", in: 0...1e6) ?? 0
        epsilon = try options.number("eps", in: 0...1) ?? 1e-10
    }

    let name = "adagrad"

    func state(of shape: ParameterShape) -> [StatePart] { [.f32("sum", shape.storedCount)] }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        let slowed = 1 + Double(step.number - 1) * rateDecay
        var change = UpdateStep(.adagrad, rate: step.learningRate / slowed)
        change.gradientScale = step.gradientScale
        change.decay = step.weightDecay
        change.epsilon = epsilon
        target.apply(change, ["sum"])
    }
}
