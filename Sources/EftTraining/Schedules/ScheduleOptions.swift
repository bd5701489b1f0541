// SPDX-License-Identifier: Apache-2.0
// What `lr_scheduler_kwargs` says of a schedule.
import EftConfig

/// Numbers of a schedule beside its warm-up; nil leaves the field's default.
package struct ScheduleOptions: Sendable, Hashable {
    /// Waves of a cosine: half a wave falls once.
    package var cycles: Double?
    /// The lowest rate, or its share of the highest.
    package var minRate: Double?
    package var minRateShare: Double?
    /// The rate at which a late cosine's warm-up begins, or its share of the highest.
    package var warmupRate: Double?
    package var warmupRateShare: Double?
    /// The last rate of a polynomial, and its power.
    package var lastRate: Double?
    package var power: Double?
    /// The scale of an inverse root.
    package var timescale: Int?
    /// Steps at the highest rate, and steps of the fall behind them.
    package var stableSteps: Int?
    package var decaySteps: Int?
    /// The forms of the rise and of the fall around stable steps.
    package var warmupForm = Form.linear
    package var decayForm = Form.cosine
    /// What the highest rate of one cycle is divided by for its first, and that for its last.
    package var divFactor: Double?
    package var finalDivFactor: Double?
    /// The share of steps in which one cycle rises.
    package var warmupShare: Double?
    /// Whether one cycle rises and falls in straight lines.
    package var annealsLinearly = false
    /// Whether a cosine's warm-up is a square.
    package var quadraticWarmup = false

    /// The form of a rise or a fall.
    package enum Form: String, Sendable, CaseIterable {
        case linear, cosine
        case sqrt = "1-sqrt"
    }

    /// Leaves all to the defaults.
    package init() {}

    /// Reads the keys.
    /// - Throws: `ConfigError` for values out of range, and for words that no schedule knows.
    init(_ config: ConfigCursor) throws(ConfigError) {
        quadraticWarmup = try config.lenientBool("lr_quadratic_warmup") ?? false
        divFactor = try config.lenientDouble("lr_div_factor", in: 1e-6...1e9)
        guard let given = try config.optional("lr_scheduler_kwargs"), given.asksForSomething else {
            return
        }
        let (rates, shares, steps) = (0...1e6, 0.0...1, 0...BatchPlan.mostSteps)
        cycles = try given.lenientDouble("num_cycles", in: 0...1e6)
        minRate = try given.lenientDouble("min_lr", in: rates)
        let share = try given.lenientDouble("min_lr_ratio", in: shares)
        minRateShare = try given.lenientDouble("min_lr_rate", in: shares) ?? share
        warmupRate = try given.lenientDouble("warmup_lr", in: rates)
        warmupRateShare = try given.lenientDouble("warmup_lr_rate", in: shares)
        lastRate = try given.lenientDouble("lr_end", in: rates)
        power = try given.lenientDouble("power", in: 0...100)
        timescale = try given.lenientInt("timescale", in: 1...BatchPlan.mostSteps)
        stableSteps = try given.lenientInt("num_stable_steps", in: steps)
        decaySteps = try given.lenientInt("num_decay_steps", in: steps)
        warmupForm = try Self.form(given, "warmup_type") ?? warmupForm
        decayForm = try Self.form(given, "decay_type") ?? decayForm
        divFactor = try given.lenientDouble("div_factor", in: 1e-6...1e9) ?? divFactor
        finalDivFactor = try given.lenientDouble("final_div_factor", in: 1e-6...1e12)
        warmupShare = try given.lenientDouble("pct_start", in: shares)
        if let strategy = try given.text("anneal_strategy") {
            guard ["cos", "linear"].contains(strategy) else {
                throw try given.required("anneal_strategy").error(
                    .badValue, "expected cos or linear")
            }
            annealsLinearly = strategy == "linear"
        }
        let unknown = try given.unknownKeys(known: Self.known)
        if let first = unknown.first { throw first }
    }

    private static let known = [
        "num_cycles", "min_lr", "min_lr_rate", "min_lr_ratio", "warmup_lr", "warmup_lr_rate",
        "lr_end", "power", "timescale", "num_stable_steps", "num_decay_steps", "warmup_type",
        "decay_type", "div_factor", "final_div_factor", "pct_start", "anneal_strategy",
    ]

    private static func form(
        _ config: ConfigCursor, _ key: String
    ) throws(ConfigError) -> Form? {
        guard let word = try config.optional(key) else { return nil }
        guard let form = Form(rawValue: try word.string()) else {
            throw word.error(
                .badValue,
                "expected " + Form.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return form
    }
}
