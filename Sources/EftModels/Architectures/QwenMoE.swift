// SPDX-License-Identifier: Apache-2.0
// Qwen's mixtures of experts, and OLMoE.
import EftConfig
import EftNN

/// `Qwen2MoeForCausalLM`: Qwen 2 with experts and an MLP beside them that a sigmoid weighs.
package enum Qwen2MoE: Architecture {
    package static let modelTypes = ["qwen2_moe"]
    package static let models = "Qwen 1.5 MoE, Qwen 2 57B-A14B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = FamilyTraits(
            architecture: "Qwen2MoeForCausalLM",
            queryKeyValueBias: try config.bool("qkv_bias", default: true))
        traits.mlpNames.path = "mlp.experts"
        traits.intermediateKey = "moe_intermediate_size"
        var description = try FamilyConfig.describe(config, traits)
        description.kinds = try Qwen2.kinds(config, layers: description.layers)
        try readExperts(config, into: &description)
        description.shape.mixture?.shared = MixtureShape.SharedExpert(
            intermediate: try FamilyConfig.extent("shared_expert_intermediate_size", config),
            isWeighed: true)
        try keepExperts(config, in: &description)
        return description
    }

    /// Some layers may have one MLP instead.
    static func keepExperts(
        _ config: ConfigCursor, in description: inout DecoderDescription
    ) throws {
        let step = try LayerKinds.pattern("decoder_sparse_step", config, default: 1)
        let dense = try config.optional("mlp_only_layers")?.elements().map { try $0.int() } ?? []
        try MixtureConfig.keepExperts(config, in: &description) {
            ($0 + 1) % step == 0 && !dense.contains($0)
        }
    }

    /// Experts whose weights add up to 1 where the config says so.
    static func readExperts(
        _ config: ConfigCursor, into description: inout DecoderDescription
    ) throws {
        let adds = try config.bool("norm_topk_prob", default: false)
        // transformers 5 writes some of these families' configurations under the other key.
        let key = try config.optional("num_experts") == nil ? "num_local_experts" : "num_experts"
        try MixtureConfig.read(
            config, into: &description, expertsKey: key,
            scoring: adds ? .softmaxOfChosen : .softmax)
    }
}

/// `Qwen3MoeForCausalLM`: Qwen 3 with experts.
package enum Qwen3MoE: Architecture {
    package static let modelTypes = ["qwen3_moe"]
    package static let models = "Qwen 3 30B-A3B, 235B-A22B, Coder"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: "Qwen3MoeForCausalLM", queryKeyValueBias: bias, outputBias: bias,
            normsHeads: true)
        traits.mlpNames.path = "mlp.experts"
        traits.intermediateKey = "moe_intermediate_size"
        var description = try FamilyConfig.describe(config, traits)
        description.kinds = try Qwen2.kinds(config, layers: description.layers)
        try Qwen2MoE.readExperts(config, into: &description)
        try Qwen2MoE.keepExperts(config, in: &description)
        return description
    }
}

/// `OlmoeForCausalLM`: experts; all heads of queries, and of keys, are normed at once.
package enum OLMoE: Architecture {
    package static let modelTypes = ["olmoe"]
    package static let models = "OLMoE"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        guard try config.optional("clip_qkv") == nil else {
            throw ModelError(
                .unsupported,
                "queries, keys and values that are clipped (clip_qkv) are not supported",
                path: config.file)
        }
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: "OlmoeForCausalLM", queryKeyValueBias: bias, outputBias: bias,
            normsHeads: true, epsilon: 1e-5)
        traits.mlpNames.path = "mlp.experts"
        traits.context = 4096
        var description = try FamilyConfig.describe(config, traits)
        description.norms.normsHeadsTogether = true
        try Qwen2MoE.readExperts(config, into: &description)
        return description
    }
}
