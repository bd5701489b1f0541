// SPDX-License-Identifier: Apache-2.0
// The learning rate over a run.

#if canImport(Glibc)
    import Glibc
#endif

/// The learning rate as a function of the step, as Axolotl, the Hugging Face trainer and PyTorch compute it.
package struct LearningRateSchedule: Sendable {
    /// The form of the curve after warm-up, by the field's word.
    package enum Kind: String, Sendable, CaseIterable {
        case cosine
        case linear
        case constant
        case constantWithWarmup = "constant_with_warmup"
        case cosineWithRestarts = "cosine_with_restarts"
        case cosineWithMinLR = "cosine_with_min_lr"
        case cosineWarmupWithMinLR = "cosine_warmup_with_min_lr"
        case polynomial
        case inverseSqrt = "inverse_sqrt"
        case warmupStableDecay = "warmup_stable_decay"
        case oneCycle = "one_cycle"
        case rex
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
    private let options: ScheduleOptions
    private let restarts: JaggedRestarts?

    /// Makes a schedule for a run of `total` steps.
    package init(_ settings: TrainingSettings, total: Int) {
        kind = settings.schedule
        peak = settings.learningRate
        self.total = total
        options = settings.scheduleOptions
        restarts = settings.jaggedRestarts
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
        let least = minRatio > 0 ? minRatio : 0.001
        return peak * factor(step) * (restarts?.scale(step: step, least: least) ?? 1)
    }

    /// The rate's share of the highest.
    private func factor(_ step: Int) -> Double {
        switch kind {
        case .oneCycle: return oneCycle(step)
        case .rex: return reflectedExponential(step)
        case .cosineWarmupWithMinLR: return lateCosine(step)
        default: break
        }
        if step < warmup {
            let share = Double(step) / Double(max(1, warmup))
            if kind == .warmupStableDecay { return stableDecayWarmup(share) }
            return kind == .cosine && options.quadraticWarmup ? share * share : share
        }
        switch kind {
        case .linear: return max(0, 1 - progress(step, end: total))
        case .cosine: return cosine(step)
        case .cosineWithRestarts:
            let progress = progress(step, end: total)
            let place = (options.cycles ?? 1) * progress
            return progress >= 1 ? 0 : wave(place - place.rounded(.down))
        case .cosineWithMinLR:
            return raised(
                wave(2 * (options.cycles ?? 0.5) * progress(step, end: total)), minimum)
        case .polynomial:
            let last = (options.lastRate ?? 1e-7) / max(peak, 1e-300)
            let rest = max(0, 1 - progress(step, end: total))
            return (1 - last) * pow(rest, options.power ?? 1) + last
        case .inverseSqrt:
            let scale = Double(options.timescale ?? (warmup > 0 ? warmup : 10_000))
            return (scale / max(Double(step - warmup) + scale, 1)).squareRoot()
        case .warmupStableDecay: return stableDecay(step)
        case .constant, .constantWithWarmup, .oneCycle, .rex, .cosineWarmupWithMinLR: return 1
        }
    }

    private func progress(_ step: Int, end: Int) -> Double {
        Double(step - warmup) / Double(max(1, end - warmup))
    }

    /// A fall from 1 to 0 as a place goes from 0 to 1.
    private func wave(_ place: Double) -> Double { max(0, 0.5 * (1 + cos(Double.pi * place))) }

    /// A share that falls to a minimum instead of to 0.
    private func raised(_ share: Double, _ minimum: Double) -> Double {
        max(0, share * (1 - minimum) + minimum)
    }

    /// The lowest rate's share of the highest.
    private var minimum: Double {
        options.minRateShare ?? options.minRate.map { $0 / max(peak, 1e-300) } ?? 0
    }

    private func cosine(_ step: Int) -> Double {
        let end = constantRatio.map { Int(Double(total) * $0) } ?? total
        let cycles = constantRatio == nil ? 2 * (options.cycles ?? 0.5) : 1
        let place = cycles * progress(step, end: end)
        return raised(wave(constantRatio == nil ? place : min(1, place)), minRatio)
    }

    /// Cosine whose warm-up begins above 0 and whose fall ends with the last step.
    private func lateCosine(_ step: Int) -> Double {
        let given =
            options.warmupRateShare
            ?? options.warmupRate.map { $0 / max(peak, 1e-300) }
        if step < warmup {
            guard let first = given else { return Double(step + 1) / Double(max(1, warmup)) }
            return first + (1 - first) * Double(step) / Double(max(1, warmup - 1))
        }
        let place = Double(step - warmup + 1) / Double(max(1, total - warmup))
        return raised(wave(2 * (options.cycles ?? 0.5) * place), minimum)
    }

    private func stableDecayWarmup(_ share: Double) -> Double {
        raised(
            options.warmupForm == .cosine
                ? 1 - wave(share)
                : options.warmupForm == .sqrt ? 1 - (1 - share).squareRoot() : share, minimum)
    }

    private func stableDecay(_ step: Int) -> Double {
        let decay = min(options.decaySteps ?? max(total / 10, 1), max(total - warmup, 0))
        let stable = options.stableSteps ?? max(total - warmup - decay, 0)
        let place = Double(step - warmup - stable) / Double(max(1, decay))
        if place < 0 { return 1 }
        if place >= 1 { return minimum }
        switch options.decayForm {
        case .linear: return raised(1 - place, minimum)
        case .sqrt: return raised(1 - place.squareRoot(), minimum)
        case .cosine: return raised(wave(2 * (options.cycles ?? 0.5) * place), minimum)
        }
    }

    /// Smith and Topin 2018, in PyTorch's two phases.
    private func oneCycle(_ step: Int) -> Double {
        let first = 1 / (options.divFactor ?? 25)
        let last = first / (options.finalDivFactor ?? 1e4)
        let share = options.warmupShare ?? Double(warmup) / Double(max(total, 1))
        let (middle, end) = (share * Double(total) - 1, Double(total - 1))
        func between(_ a: Double, _ b: Double, _ place: Double) -> Double {
            options.annealsLinearly ? a + (b - a) * place : b + (a - b) * wave(place)
        }
        if Double(step) <= middle {
            return between(first, 1, middle > 0 ? Double(step) / middle : 1)
        }
        return between(1, last, min(1, (Double(step) - middle) / max(end - middle, 1e-9)))
    }

    /// Chen et al. 2021 (REX), as Axolotl counts its steps: from 1.
    private func reflectedExponential(_ step: Int) -> Double {
        let step = step + 1
        if step <= warmup { return Double(step) / Double(max(1, warmup)) }
        let (after, all) = (step - warmup, total - warmup)
        guard after < all else { return 0 }
        let rest = Double(all - after) / Double(all)
        return rest / (0.1 + 0.9 * rest)
    }
}
