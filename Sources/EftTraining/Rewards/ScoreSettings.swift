// SPDX-License-Identifier: Apache-2.0
// The keys of a configuration that train a model to score.
import EftConfig
import EftModels

/// How a run trains a model that scores, under the names of Axolotl's keys.
package struct ScoreSettings: Sendable, Hashable {
    /// The head that is trained.
    package var head: ScoreHead
    /// The weight of the squared sum of both rewards of a pair, which keeps rewards near zero; 0 for none.
    package var centering = 0.0

    /// Makes settings.
    package init(_ head: ScoreHead, centering: Double = 0) {
        self.head = head
        self.centering = centering
    }

    /// Whether pairs of answers are compared.
    package var takesPairs: Bool { head.kind == .text }

    /// Reads `reward_model`, `process_reward_model` and their keys; nil when neither is asked for.
    /// - Throws: `ConfigError` for values out of range and for keys that exclude each other.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> ScoreSettings? {
        let isReward = try config.lenientBool("reward_model") ?? false
        let isProcess = try config.lenientBool("process_reward_model") ?? false
        let labels = try config.lenientInt("num_labels", in: 1...ScoreHead.mostLabels)
        let centering = try config.lenientDouble("center_rewards_coefficient", in: 0...1e9)
        guard isReward || isProcess else {
            for key in ["num_labels", "center_rewards_coefficient"] {
                guard let value = try config.optional(key), value.asksForSomething else { continue }
                throw value.error(
                    .badValue, "goes with reward_model: true or process_reward_model: true")
            }
            return nil
        }
        guard !(isReward && isProcess) else {
            throw try config.required("process_reward_model").error(
                .badValue, "reward_model and process_reward_model exclude each other")
        }
        if let rl = try config.optional("rl"), rl.asksForSomething {
            throw rl.error(
                .badValue, "a reward model learns from pairs by itself; remove rl or reward_model")
        }
        if isReward {
            guard labels ?? 1 == 1 else {
                throw try config.required("num_labels").error(
                    .badValue, "a reward is a single number; set num_labels: 1")
            }
            return ScoreSettings(ScoreHead(.text, labels: 1), centering: centering ?? 0)
        }
        if centering != nil {
            throw try config.required("center_rewards_coefficient").error(
                .badValue, "goes with reward_model: true")
        }
        // What a step is: wrong or right, unless there are more kinds.
        return ScoreSettings(ScoreHead(.tokens, labels: labels ?? 2))
    }
}
