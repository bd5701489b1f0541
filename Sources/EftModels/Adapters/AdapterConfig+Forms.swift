// SPDX-License-Identifier: Apache-2.0
// Forms of LoRA adapters that Eft does not compute.
import EftConfig

extension AdapterConfig {
    /// Keys of PEFT 0.19 that must be off, empty or null, and what they mean.
    private static let offKeys = [
        ("use_qalora", "pooled inputs (use_qalora)"),
        ("use_bdlora", "block-diagonal matrices (use_bdlora)"),
        ("lora_bias", "biases of their own (lora_bias)"),
        ("alora_invocation_tokens", "tokens that switch them on (alora_invocation_tokens)"),
        ("arrow_config", "a router of adapters (arrow_config)"),
        ("layer_replication", "layers that are used several times (layer_replication)"),
        ("megatron_config", "layers of Megatron (megatron_config)"),
    ]

    /// - Throws: `ModelError` (`unsupported`) that names what an adapter has that would be computed wrongly, `ConfigError`.
    static func refuseUnsupported(_ config: ConfigCursor) throws {
        func refuse(_ what: String) -> ModelError {
            ModelError(.unsupported, "adapters with \(what) are not supported", path: config.file)
        }
        let type = try config.string("peft_type", default: "LORA")
        guard type == "LORA" else { throw refuse("peft_type \(excerpt(type))") }
        for (key, meaning) in offKeys where try isOn(config, key) { throw refuse(meaning) }
        let bias = try config.string("bias", default: "none")
        guard bias == "none" else { throw refuse("trained biases (bias: \(excerpt(bias)))") }
        let task = try config.string("task_type", default: "")
        let others = ScoreHead.Kind(rawValue: task) == nil ? [] : ScoreHead.savedModules
        for module in try config.optional("modules_to_save")?.elements() ?? [] {
            let name = try module.string()
            guard SavedEnds.module(named: name) != nil || others.contains(name)
            else { throw refuse("the module '\(excerpt(name))' in modules_to_save") }
        }
        try refuseTiedAdapters(config)
        try refuseUnconverted(config)
    }

    /// Whether a key has a value that is neither false nor empty.
    private static func isOn(_ config: ConfigCursor, _ key: String) throws -> Bool {
        guard let value = try config.optional(key) else { return false }
        switch value.node.value {
        case .bool(let isOn): return isOn
        case .array(let items): return !items.isEmpty
        case .null: return false
        default: return true
        }
    }

    /// Adapters of an embedding and of a head that share A and B.
    private static func refuseTiedAdapters(_ config: ConfigCursor) throws {
        guard try config.bool("ensure_weight_tying", default: false),
            let targets = try config.optional("target_modules"), case .array = targets.node.value
        else { return }
        for target in try targets.elements() {
            let name = try target.string()
            guard SavedEnds.module(named: name) == nil else {
                throw ModelError(
                    .unsupported,
                    "adapters with A and B that \(excerpt(name)) shares with another module (ensure_weight_tying) are "
                        + "not supported",
                    path: config.file)
            }
        }
    }

    /// Adapters that were saved as they are trained, for a base from which their beginning was taken away.
    private static func refuseUnconverted(_ config: ConfigCursor) throws {
        guard let value = try config.optional("init_lora_weights"),
            case .string(let word) = value.node.value
        else { return }
        let kinds = ["pissa", "olora", "corda", "lora_ga"]
        guard kinds.contains(where: { word.lowercased().hasPrefix($0) }) else { return }
        throw ModelError(
            .unsupported,
            "the adapter belongs to a base that init_lora_weights: \(excerpt(word)) has changed; save it in PEFT with "
                + "path_initial_model_for_weight_conversion, so that it belongs to the base as it is",
            path: config.file)
    }
}
