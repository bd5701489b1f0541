// SPDX-License-Identifier: Apache-2.0
// Writing adapter_config.json with the keys of PEFT 0.19.
import EftConfig

extension AdapterConfig {
    /// The file's text: PEFT's keys in alphabetical order.
    package var json: String {
        var ranks = ConfigObject()
        for key in rankPattern.keys.sorted() {
            ranks[key] = rankPattern[key].map { ConfigNode(.integer($0)) }
        }
        var alphas = ConfigObject()
        for key in alphaPattern.keys.sorted() {
            alphas[key] = alphaPattern[key].map(number)
        }
        let null = ConfigNode(.null)
        let no = ConfigNode(.bool(false))
        let entries: [(String, ConfigNode)] = [
            ("alora_invocation_tokens", null), ("alpha_pattern", ConfigNode(.object(alphas))),
            ("arrow_config", null), ("auto_mapping", null),
            ("base_model_name_or_path", ConfigNode(.string(baseModel))),
            ("bias", ConfigNode(.string("none"))), ("corda_config", null),
            ("ensure_weight_tying", no), ("eva_config", null), ("exclude_modules", null),
            ("fan_in_fan_out", ConfigNode(.bool(storesByInputs))),
            ("inference_mode", ConfigNode(.bool(true))),
            ("init_lora_weights", ConfigNode(.bool(true))), ("layer_replication", null),
            ("layers_pattern", null),
            (
                "layers_to_transform",
                layersToTransform.map { ConfigNode(.array($0.map { ConfigNode($0) })) } ?? null
            ),
            ("loftq_config", ConfigNode(.object(ConfigObject()))),
            ("lora_alpha", number(alpha)), ("lora_bias", no),
            ("lora_dropout", ConfigNode(.real(dropout))), ("megatron_config", null),
            ("megatron_core", ConfigNode(.string("megatron.core"))),
            (
                "modules_to_save",
                modulesToSave.isEmpty
                    ? null : ConfigNode(.array(modulesToSave.map { ConfigNode(.string($0)) }))
            ),
            ("peft_type", ConfigNode(.string("LORA"))),
            ("qalora_group_size", ConfigNode(.integer(16))),
            ("r", ConfigNode(.integer(rank))), ("rank_pattern", ConfigNode(.object(ranks))),
            ("revision", null),
            ("target_modules", ConfigNode(.array(targetModules.map { ConfigNode(.string($0)) }))),
            (
                "target_parameters",
                targetParameters.isEmpty
                    ? null : ConfigNode(.array(targetParameters.map { ConfigNode(.string($0)) }))
            ),
            ("task_type", ConfigNode(.string(scores?.rawValue ?? "CAUSAL_LM"))),
            ("trainable_token_indices", trainedTokens.node),
            ("use_dora", ConfigNode(.bool(usesDora))), ("use_qalora", no),
            ("use_rslora", ConfigNode(.bool(rankStabilized))),
        ]
        var object = ConfigObject()
        for (key, node) in entries { object[key] = node }
        return JSONWriter.text(ConfigNode(.object(object)), layout: .indented(2)) + "\n"
    }

    /// Whole numbers are written as integers, as PEFT does.
    private func number(_ value: Double) -> ConfigNode {
        Int(exactly: value).map { ConfigNode($0) } ?? ConfigNode(value)
    }
}
