// SPDX-License-Identifier: Apache-2.0
// Families that took latent attention from DeepSeek.
import EftConfig
import EftNN

/// `Glm4MoeLiteForCausalLM`: DeepSeek 3's form; a list says which layers have experts.
package enum GLM4MoELite: Architecture {
    package static let modelTypes = ["glm4_moe_lite"]
    package static let models = "GLM 4.7 Flash"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try LatentConfig.describe(
            config, "Glm4MoeLiteForCausalLM",
            isInterleaved: config.bool("rope_interleave", default: true), epsilon: 1e-5)
        try MixtureConfig.readGrouped(config, into: &description, addsUp: true, firstDense: 1)
        guard let list = try config.optional("mlp_layer_types") else { return description }
        let types = try list.elements().map { try $0.string() }
        guard types.count == description.layers,
            types.allSatisfy({ $0 == "dense" || $0 == "sparse" })
        else {
            throw list.error(
                .badValue,
                "mlp_layer_types must say 'dense' or 'sparse' of each of \(description.layers) layers"
            )
        }
        try MixtureConfig.keepExperts(config, in: &description) { types[$0] == "sparse" }
        return description
    }
}

/// `YoutuForCausalLM`: latent attention and one MLP.
package enum Youtu: Architecture {
    package static let modelTypes = ["youtu"]
    package static let models = "Youtu-LLM 2B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try LatentConfig.describe(
            config, "YoutuForCausalLM",
            isInterleaved: config.bool("rope_interleave", default: true), hasExperts: false,
            tied: true)
    }
}

/// `MiniCPM3ForCausalLM`: latent attention, one MLP, and factors of embeddings, values and logits.
package enum MiniCPM3: Architecture {
    package static let modelTypes = ["minicpm3"]
    package static let models = "MiniCPM 3 4B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try LatentConfig.describe(
            config, "MiniCPM3ForCausalLM", isInterleaved: false, hasExperts: false, epsilon: 1e-5,
            tied: true)
        description.mlpBias = try config.bool("mlp_bias", default: false)
        description.embeddingScale = Float(
            try FamilyConfig.factor("scale_emb", config, default: 12))
        let depth = try config.optional("scale_depth") == nil && config.hasKey("scale_depth")
        let scale = try FamilyConfig.factor("scale_depth", config, default: 1.4)
        description.shape.residualScale =
            depth ? 1 : Float(scale / Double(description.layers).squareRoot())
        let base = try FamilyConfig.factor(
            "dim_model_base", config, default: Double(description.shape.hidden))
        description.logits.scale = Float(base / Double(description.shape.hidden))
        return description
    }
}
