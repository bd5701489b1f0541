// SPDX-License-Identifier: Apache-2.0
// Qwen 3 Next, and what Qwen 3.5 has in common with it.
import EftConfig
import EftNN
import EftTensor

/// `Qwen3NextForCausalLM`: three of four layers have linear attention by the gated delta rule; the others weigh the values
/// of attention. Experts with an MLP beside them that a sigmoid weighs.
package enum Qwen3Next: Architecture {
    package static let modelTypes = ["qwen3_next"]
    package static let models = "Qwen 3 Next 80B-A3B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try describe(
            config, "Qwen3NextForCausalLM", isGrouped: true, hasExperts: true)
        description.names.mixed = "linear_attn.in_proj_qkvz"
        description.names.strength = "linear_attn.in_proj_ba"
        try readExperts(config, into: &description)
        try Qwen2MoE.keepExperts(config, in: &description)
        return description
    }

    /// Everything but experts.
    static func describe(
        _ config: ConfigCursor, _ architecture: String, isGrouped: Bool, hasExperts: Bool
    ) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: architecture, queryKeyValueBias: bias, outputBias: bias,
            normsHeads: true, headDim: 256, rotaryShare: 0.25, context: 32768)
        if hasExperts {
            traits.mlpNames.path = "mlp.experts"
            traits.intermediateKey = "moe_intermediate_size"
        }
        var description = try FamilyConfig.describe(config, traits)
        guard description.shape.activation == .silu else {
            throw ModelError(
                .unsupported, "linear attention with another hidden_act than silu is not supported",
                path: config.file)
        }
        description.norms.offset = 1
        description.shape.gatesValues = true
        description.shape.mixer = .delta(try LinearConfig.read(config, isGrouped: isGrouped))
        description.kinds = try LinearConfig.kinds(config, layers: description.layers)
        return description
    }

    /// Experts whose weights add up to 1 where the config does not say otherwise, and the MLP beside them.
    static func readExperts(
        _ config: ConfigCursor, into description: inout DecoderDescription
    ) throws {
        let adds = try config.bool("norm_topk_prob", default: true)
        let key = try config.optional("num_experts") == nil ? "num_local_experts" : "num_experts"
        try MixtureConfig.read(
            config, into: &description, expertsKey: key,
            scoring: adds ? .softmaxOfChosen : .softmax)
        description.shape.mixture?.shared = MixtureShape.SharedExpert(
            intermediate: try FamilyConfig.extent("shared_expert_intermediate_size", config),
            isWeighed: true)
    }
}
