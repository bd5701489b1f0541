// SPDX-License-Identifier: Apache-2.0
// RMSprop (Hinton 2012), as PyTorch and bitsandbytes compute it.
import EftTensor

/// Gradients over the root of the running mean of their squares. Weight decay is added to the gradient.
struct RMSprop: UpdateRule {
    var alpha: Double
    var epsilon: Double
    var momentum = 0.0
    var isCentered = false
    /// Whether the mean stands in 8 bits.
    var isCoded: Bool

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        isCoded = options.choice.bits == 8
        alpha = try options.number("alpha", in: 0...0.9999999) ?? 0.99
        epsilon = try options.number("eps", in: 0...1) ?? 1e-8
        guard !isCoded else { return }
        momentum = try options.number("momentum", in: 0...0.999999) ?? 0
        isCentered = try options.flag("centered") ?? false
    }

    var name: String {
        isCoded
            ? "rmsprop_8bit"
            : "rmsprop" + (momentum > 0 ? "_momentum" : "") + (isCentered ? "_centered" : "")
    }

    func state(of shape: ParameterShape) -> [StatePart] {
        // bitsandbytes keeps the squares in the signed map, as it does with all rules of one state.
        var parts = [StatePart.each("square_avg", of: shape, coded: isCoded)]
        if isCentered { parts.append(.f32("grad_avg", shape.storedCount)) }
        if momentum > 0 { parts.append(.f32("momentum_buffer", shape.storedCount)) }
        return parts
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        var change = UpdateStep(.rmsProp, rate: step.learningRate)
        change.gradientScale = step.gradientScale
        change.decay = step.weightDecay
        change.epsilon = epsilon
        (change.beta1, change.beta2) = (momentum, alpha)
        target.apply(
            change,
            [
                "square_avg", isCentered ? "grad_avg" : nil,
                momentum > 0 ? "momentum_buffer" : nil,
            ])
    }
}
