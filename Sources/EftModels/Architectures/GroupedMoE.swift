// SPDX-License-Identifier: Apache-2.0
// Mixtures whose experts are weighed by sigmoids, as DeepSeek's are: GLM 4.5 and dots.
import EftConfig
import EftNN

/// `Glm4MoeForCausalLM`: half of each head rotates; the first layers have no experts.
package enum GLM4MoE: Architecture {
    package static let modelTypes = ["glm4_moe"]
    package static let models = "GLM 4.5, 4.5 Air, 4.6"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = FamilyTraits(
            architecture: "Glm4MoeForCausalLM",
            queryKeyValueBias: try config.bool("attention_bias", default: false),
            normsHeads: try config.bool("use_qk_norm", default: false), epsilon: 1e-5,
            rotaryShare: 0.5, context: 131_072)
        traits.mlpNames.path = "mlp.experts"
        traits.intermediateKey = "moe_intermediate_size"
        var description = try FamilyConfig.describe(config, traits)
        try MixtureConfig.readGrouped(config, into: &description, addsUp: true, firstDense: 1)
        return description
    }
}

/// `Dots1ForCausalLM`: each head of queries and keys is normed; the first layers have no experts.
package enum Dots1: Architecture {
    package static let modelTypes = ["dots1"]
    package static let models = "dots.llm1"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: "Dots1ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
            normsHeads: true)
        traits.mlpNames.path = "mlp.experts"
        traits.intermediateKey = "moe_intermediate_size"
        var description = try FamilyConfig.describe(config, traits)
        let first = try config.optional("max_window_layers")?.int() ?? 62
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: 4096
        ) { $0 >= first }
        try MixtureConfig.readGrouped(config, into: &description, addsUp: false, firstDense: 0)
        return description
    }
}
