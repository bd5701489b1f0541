// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent, with momentum when it is asked for, as PyTorch computes it.
import EftTensor

/// Steps along the gradient. Weight decay is added to the gradient.
struct SGD: UpdateRule {
    var momentum: Double
    var dampening: Double
    var isNesterov: Bool

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        momentum = try options.number("momentum", in: 0...0.999999) ?? 0
        dampening = try options.number("dampening", in: 0...1) ?? 0
        isNesterov = try options.flag("nesterov") ?? false
        guard !isNesterov || (momentum > 0 && dampening == 0) else {
            throw options.error("nesterov", "needs a momentum, and no dampening")
        }
    }

    var name: String { momentum > 0 ? "sgd_momentum" : "sgd" }

    func state(of shape: ParameterShape) -> [StatePart] {
        momentum > 0 ? [.f32("momentum_buffer", shape.storedCount)] : []
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        var change = UpdateStep(.sgd, rate: step.learningRate)
        change.gradientScale = step.gradientScale
        change.decay = step.weightDecay
        change.beta1 = momentum
        change.rest1 = 1 - dampening
        change.isFirst = step.number == 1
        change.isNesterov = isNesterov
        target.apply(change, ["momentum_buffer"])
    }
}
