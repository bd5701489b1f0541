// SPDX-License-Identifier: Apache-2.0
// Schedule-free AdamW (Defazio et al. 2024), as the package schedulefree computes it.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Trains values between an iterate and the mean of all iterates; the mean is what comes out.
struct ScheduleFreeAdamW: UpdateRule {
    var beta1: Double
    var beta2: Double
    var epsilon: Double
    /// Powers of the step's number and of the highest rate so far in a step's weight in the mean.
    var (stepPower, ratePower): (Double, Double)

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        beta1 = options.settings.beta1 ?? options.choice.betas.first
        beta2 = options.settings.beta2 ?? options.choice.betas.second
        epsilon = options.settings.epsilon ?? options.choice.epsilon
        stepPower = try options.number("r", in: 0...100) ?? 0
        ratePower = try options.number("weight_lr_power", in: 0...100) ?? 2
        guard beta1 > 0 else {
            throw TrainingError(
                .configuration, "\(options.settings.name) needs adam_beta1 above 0")
        }
    }

    let name = "schedule_free_adamw"
    let averages = true

    func state(of shape: ParameterShape) -> [StatePart] {
        [
            .f32("z", shape.storedCount), .f32("exp_avg_sq", shape.storedCount),
            // The highest rate so far, and the sum of the weights.
            .f32("weights", 2),
        ]
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        let weights = target.state.row("weights").pointer
        if step.number == 1 {
            let (z, value) = (target.state.row("z"), target.parameter.value)
            z.pointer.update(from: value.floats, count: value.floatCount)
            weights[0] = -1
        }
        // The package warms up by itself, besides the schedule.
        let warmth = min(1, Double(step.number) / Double(max(step.warmup, 1)))
        let rate = step.learningRate * warmth
        weights[0] = max(weights[0], Float(rate))
        let weight = pow(Double(step.number), stepPower) * pow(Double(weights[0]), ratePower)
        weights[1] += Float(weight)
        let share = weights[1] > 0 ? weight / Double(weights[1]) : 0
        var change = UpdateStep(.scheduleFree, rate: rate)
        change.gradientScale = step.gradientScale
        change.decay = step.weightDecay
        change.epsilon = epsilon
        change.beta2 = beta2
        change.correction2 = step.correction(beta2)
        change.mix = share
        change.alpha = rate * (beta1 * (1 - share) - 1)
        target.apply(change, ["z", "exp_avg_sq"])
    }

    func average(_ target: UpdateTarget) {
        let (z, value) = (target.state.row("z"), target.parameter.value.floats)
        let share = Float(1 - 1 / beta1)
        for index in 0..<z.count { value[index] += (z.pointer[index] - value[index]) * share }
    }
}
