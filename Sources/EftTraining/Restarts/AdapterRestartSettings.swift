// SPDX-License-Identifier: Apache-2.0
// The keys of ReLoRA (Lialin et al. 2023).
import EftConfig

/// How an adapter begins anew every so many steps, after what it learned was added to the base.
package struct AdapterRestartSettings: Sendable, Hashable {
    /// Which numbers of the optimizer's state are set to zero.
    package enum Pruning: String, Sendable, CaseIterable {
        /// The smallest.
        case magnitude
        /// Some at random.
        case random
        /// Nearly all, at random.
        case reset
    }

    /// Steps from one restart to the next.
    package var interval: Int
    /// Which numbers of the optimizer's state are set to zero.
    package var pruning = Pruning.magnitude
    /// Their share.
    package var ratio = 0.9

    /// States restarts with Axolotl's defaults.
    package init(interval: Int) { self.interval = interval }

    /// Reads `relora` and the keys beside it; nil where it is not asked for.
    /// - Throws: `ConfigError` for values out of range, and without `jagged_restart_steps`.
    static func read(
        _ config: ConfigCursor, _ restarts: JaggedRestarts?
    ) throws(ConfigError) -> AdapterRestartSettings? {
        guard try config.lenientBool("relora") ?? false else { return nil }
        guard let restarts else {
            throw try config.required("relora").error(
                .badValue,
                "set jagged_restart_steps: the number of steps from one restart to the next"
            )
        }
        var settings = AdapterRestartSettings(interval: restarts.interval)
        if let value = try config.optional("relora_prune_method") {
            let name = try value.string()
            guard let pruning = Pruning(rawValue: name) else {
                throw value.error(
                    .badValue,
                    "'\(excerpt(name))' is not among "
                        + Pruning.allCases.map(\.rawValue).joined(separator: ", "))
            }
            settings.pruning = pruning
        }
        settings.ratio =
            try config.lenientDouble("relora_prune_ratio", in: 0...1)
            ?? (settings.pruning == .reset ? 0.999 : 0.9)
        return settings
    }

    /// Restarts of a run.
    package func count(steps: Int) -> Int { max(0, steps - 1) / interval }
}

extension AxolotlConfig {
    /// Checks restarts of the adapter against the rest.
    /// - Throws: `ConfigError` for what does not go with them.
    func settleRestarts() throws(ConfigError) {
        guard training.adapterRestarts != nil else { return }
        let others: [(Bool, String)] = [
            (adapter == nil, "needs adapter: lora or qlora"),
            (adapter?.folder != nil, "does not go with lora_model_dir"),
            (adapter?.usesDora == true, "does not go with peft_use_dora"),
            (
                adapter?.initialization.replacesWeight == true,
                "does not go with pissa and olora, which change the base too"
            ),
            (
                !((try? training.optimizer.rule()) is AdamW),
                "sets most of AdamW's state to zero; set optimizer: adamw_torch or adamw_bnb_8bit"
            ),
            (
                training.preferences != nil || training.rollouts != nil,
                "is for training on texts; it does not go with rl"
            ),
            (training.schedule == .oneCycle, "does not go with lr_scheduler: one_cycle"),
            (training.loadsBest, "does not go with load_best_model_at_end"),
        ]
        if let other = others.first(where: \.0)?.1 {
            throw try document.required("relora").error(.badValue, other)
        }
    }
}
