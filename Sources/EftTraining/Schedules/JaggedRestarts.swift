// SPDX-License-Identifier: Apache-2.0
// A learning rate that falls and rises again every so many steps.
import EftConfig

/// Restarts of a learning rate: around each, the schedule's rate is scaled down and up again, as Axolotl does.
package struct JaggedRestarts: Sendable, Hashable {
    /// Steps from one restart to the next.
    package var interval: Int
    /// Steps in which the rate rises after a restart.
    package var warmup = 10
    /// Steps in which it falls before one.
    package var anneal = 1

    /// States restarts with Axolotl's defaults.
    package init(interval: Int) { self.interval = interval }

    /// Reads `jagged_restart_steps` and the keys beside it; nil without it.
    /// - Throws: `ConfigError` for values out of range.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> JaggedRestarts? {
        func steps(_ key: String) throws(ConfigError) -> Int? {
            guard let value = try config.optional(key), value.asksForSomething else { return nil }
            return try config.lenientInt(key, in: 1...BatchPlan.mostSteps)
        }
        guard let interval = try steps("jagged_restart_steps") else {
            for key in ["jagged_restart_warmup_steps", "jagged_restart_anneal_steps"] {
                guard try steps(key) != nil else { continue }
                throw try config.required(key).error(
                    .badValue, "needs jagged_restart_steps beside it")
            }
            return nil
        }
        var restarts = JaggedRestarts(interval: interval)
        restarts.warmup = try steps("jagged_restart_warmup_steps") ?? restarts.warmup
        restarts.anneal = try steps("jagged_restart_anneal_steps") ?? restarts.anneal
        return restarts
    }

    /// What the rate of a step, counted from 0, is multiplied by.
    /// - Parameter least: the lowest.
    package func scale(step: Int, least: Double) -> Double {
        guard step >= interval - anneal else { return 1 }
        let place = step % interval
        var share = 1.0
        if place < warmup {
            share = Double(place) / Double(warmup)
        } else if place > interval - anneal {
            share = Double(interval - place) / Double(anneal)
        }
        return min(share, 1) * (1 - least) + least
    }
}
