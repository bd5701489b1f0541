// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that models with latent attention have in common.
import EftConfig
import EftNN

/// Reads latent attention.
enum LatentConfig {
    /// Reads a model of DeepSeek's form without its mixture.
    /// - Throws: `ConfigError` for widths that do not fit each other, `ModelError` (`unsupported`).
    static func describe(
        _ config: ConfigCursor, _ architecture: String, isInterleaved: Bool,
        hasExperts: Bool = true,
        epsilon: Double = 1e-6, tied: Bool = false
    ) throws -> DecoderDescription {
        func width(_ key: String) throws -> Int {
            try FamilyConfig.extent(key, config, most: 1 << 16)
        }
        let (still, rotated) = (try width("qk_nope_head_dim"), try width("qk_rope_head_dim"))
        let latent = LatentShape(
            queryRank: try config.optional("q_lora_rank") == nil ? nil : width("q_lora_rank"),
            rank: try width("kv_lora_rank"), rotated: rotated, valueDim: try width("v_head_dim"))
        guard rotated % 2 == 0, latent.valueDim <= still + rotated else {
            throw config.error(
                .badValue,
                "qk_rope_head_dim (\(rotated)) must be even, and v_head_dim (\(latent.valueDim)) at most as large as "
                    + "it and qk_nope_head_dim (\(still)) together")
        }
        let frequency = try config.optional("moe_layer_freq")?.int() ?? 1
        guard frequency == 1 else {
            throw config.error(.badValue, "moe_layer_freq (\(frequency)) is not supported yet")
        }
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: architecture,
            kvHeads: try FamilyConfig.extent("num_attention_heads", config),
            queryKeyValueBias: bias, outputBias: bias, fixedHeadDim: still + rotated,
            epsilon: epsilon, tied: tied, isInterleaved: isInterleaved, context: 4096)
        if hasExperts {
            traits.intermediateKey = "moe_intermediate_size"
            traits.mlpNames.path = "mlp.experts"
        }
        var description = try FamilyConfig.describe(config, traits)
        description.shape.latent = latent
        description.rotary = try RotaryConfig.read(
            config, headDim: rotated, context: description.contextLength, traits)
        description.shape.attentionScale = try scale(config, description)
        return description
    }

    /// 1 / sqrt(D), times the square of YaRN's second scale, as the models' own code has it.
    private static func scale(
        _ config: ConfigCursor, _ description: DecoderDescription
    ) throws -> Float? {
        let rope = try config.optional("rope_parameters") ?? config.optional("rope_scaling")
        guard case .yarn(let yarn) = description.rotary.scaling,
            let all = try rope?.optional("mscale_all_dim")?.double(), all != 0
        else { return nil }
        let scale = RotaryScaling.yarnScale(yarn.factor, all)
        return Float(scale * scale / Double(description.shape.headDim).squareRoot())
    }
}
