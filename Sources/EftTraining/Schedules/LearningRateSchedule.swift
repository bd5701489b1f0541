// SPDX-License-Identifier: Apache-2.0
// The learning rate over a run.

#if canImport(Glibc)
    import Glibc
#endif

/// The learning rate as a function of the step, as Axolotl and the Hugging Face trainer compute it.
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
    private let minRatio: Double
    private let constantRatio: Double?

    /// Makes a schedule for a run of `total` steps.
    package init(_ settings: TrainingSettings, total: Int) {
        kind = settings.schedule
        peak = settings.learningRate
        self.total = total
        minRatio = settings.cosineMinLRRatio
        constantRatio = settings.cosineConstantLRRatio
        let steps =
            settings.warmupSteps
            ?? settings.warmupRatio.map { Int($0 * Double(total)) }
            ?? min(Int(0.03 * Double(total)), 100)
        // The rate of the first step is 0: a warm-up of one step would only lose that step.
        warmup = kind == .constant ? 0 : steps == 1 ? 2 : steps
    }

    /// The rate of a step, counted from 0.
    package func rate(step: Int) -> Double {
        if step < warmup { return peak * Double(step) / Double(max(1, warmup)) }
        switch kind {
        case .constant, .constantWithWarmup: return peak
        case .linear: return peak * max(0, 1 - progress(step, end: total))
        case .cosine:
            let end = constantRatio.map { Int(Double(total) * $0) } ?? total
            let factor = max(0, 0.5 * (1 + cos(Double.pi * min(1, progress(step, end: end)))))
            return peak * (minRatio + (1 - minRatio) * factor)
        }
    }

    private func progress(_ step: Int, end: Int) -> Double {
        Double(step - warmup) / Double(max(1, end - warmup))
    }
}
