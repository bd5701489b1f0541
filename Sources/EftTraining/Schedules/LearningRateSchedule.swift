// SPDX-License-Identifier: Apache-2.0
// The learning rate over a run.

#if canImport(Glibc)
    import Glibc
#endif

/// The learning rate as a function of the step, as the Hugging Face trainer computes it.
package struct LearningRateSchedule: Sendable {
    /// The form of the curve after warm-up, by Axolotl's word.
    package enum Kind: String, Sendable, CaseIterable {
        case cosine
        case linear
        case constant
        case constantWithWarmup = "constant_with_warmup"
    }

    /// The form.
    package let kind: Kind
    /// The highest rate.
    package let peak: Double
    /// Steps of warm-up.
    package let warmup: Int
    /// Steps of the run.
    package let total: Int

    /// Makes a schedule for a run of `total` steps.
    package init(_ settings: TrainingSettings, total: Int) {
        kind = settings.schedule
        peak = settings.learningRate
        self.total = total
        if kind == .constant {
            warmup = 0
        } else if let steps = settings.warmupSteps {
            warmup = steps
        } else if let ratio = settings.warmupRatio {
            warmup = Int((Double(total) * ratio).rounded(.up))
        } else {
            // Axolotl's default; a single step of warm-up would train with a rate of 0 and then jump.
            let steps = min(Int(0.03 * Double(total)), 100)
            warmup = steps == 1 ? 2 : steps
        }
    }

    /// The rate of a step, counted from 0.
    package func rate(step: Int) -> Double {
        if step < warmup { return peak * Double(step) / Double(max(1, warmup)) }
        let progress = Double(step - warmup) / Double(max(1, total - warmup))
        switch kind {
        case .constant, .constantWithWarmup: return peak
        case .linear: return peak * max(0, 1 - progress)
        case .cosine: return peak * max(0, 0.5 * (1 + cos(Double.pi * progress)))
        }
    }
}
