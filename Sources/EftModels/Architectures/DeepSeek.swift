// SPDX-License-Identifier: Apache-2.0
// DeepSeek 2 and 3, and Kimi K2: latent attention.
import EftConfig
import EftNN

/// `DeepseekV2ForCausalLM`: experts by the softmax of all, those of the highest groups where the config says so.
package enum DeepSeekV2: Architecture {
    package static let modelTypes = ["deepseek_v2"]
    package static let models = "DeepSeek V2, V2 Lite, V2.5, Coder V2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse("mlp_bias", config, "biases of experts are not supported")
        try FamilyConfig.refuse(
            "norm_topk_prob", config,
            "weights of experts that add up to 1 (norm_topk_prob) are not supported in this family")
        let method = try config.string("topk_method", default: "greedy")
        guard ["greedy", "group_limited_greedy"].contains(method) else {
            throw ModelError(
                .unsupported,
                "topk_method '\(excerpt(method))' is not supported; supported are "
                    + "greedy, group_limited_greedy", path: config.file)
        }
        var description = try LatentConfig.describe(
            config, "DeepseekV2ForCausalLM", isInterleaved: true)
        try MixtureConfig.readGrouped(
            config, into: &description, scoring: .softmax, isCorrected: false,
            usesGroups: method != "greedy", firstDense: 0)
        return description
    }
}

/// `DeepseekV3ForCausalLM`: experts by sigmoids with a correction.
package enum DeepSeekV3: Architecture {
    package static let modelTypes = ["deepseek_v3", "kimi_k2"]
    package static let models = "DeepSeek V3 and R1 in 16 bits, Moonlight, Kimi K2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try LatentConfig.describe(
            config, "DeepseekV3ForCausalLM",
            isInterleaved: config.bool("rope_interleave", default: true))
        try MixtureConfig.readGrouped(config, into: &description, addsUp: true, firstDense: 3)
        return description
    }
}
