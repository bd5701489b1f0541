// SPDX-License-Identifier: Apache-2.0
// GLM 4: its first form and that of 2025.
import EftConfig
import EftNN

/// `GlmForCausalLM`: half of each head rotates, by neighbours; both factors of the MLP come from one product.
package enum GLM: Architecture {
    package static let modelTypes = ["glm"]
    package static let models = "GLM 4 9B, Edge"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describe(config, "GlmForCausalLM", bias: true)
    }

    /// - Parameter bias: whether queries, keys and values have one where the config does not say.
    static func describe(
        _ config: ConfigCursor, _ architecture: String, bias: Bool
    ) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: architecture,
                queryKeyValueBias: try config.bool("attention_bias", default: bias), headDim: 128,
                epsilon: 1.5625e-07, rotaryShare: 0.5, isInterleaved: true, context: 131_072))
        description.shape.fusesGateUp = true
        return description
    }
}

/// `Glm4ForCausalLM`: norms before and behind attention and MLP.
package enum GLM4: Architecture {
    package static let modelTypes = ["glm4"]
    package static let models = "GLM 4 0414 9B and 32B, GLM Z1"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try GLM.describe(config, "Glm4ForCausalLM", bias: false)
        description.shape.normsValues = true
        description.norms.attentionValue = "post_self_attn_layernorm"
        description.norms.feedForwardValue = "post_mlp_layernorm"
        return description
    }
}
