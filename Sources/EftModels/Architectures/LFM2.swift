// SPDX-License-Identifier: Apache-2.0
// LFM 2, dense and with experts.
import EftConfig
import EftNN
import EftTensor

/// `Lfm2ForCausalLM`: most layers have a short convolution between two gates in the place of attention.
package enum LFM2: Architecture {
    package static let modelTypes = ["lfm2"]
    package static let models = "LFM 2 350M, 700M, 1.2B, 2.6B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = FamilyTraits(architecture: "Lfm2ForCausalLM")
        traits.mlpNames = DecoderDescription.MLPNames(
            path: "feed_forward", gate: "w1", up: "w3", down: "w2")
        if try config.optional("block_ff_dim") != nil { traits.intermediateKey = "block_ff_dim" }
        var description = try describe(config, traits)
        if try config.bool("block_auto_adjust_ff_dim", default: true) {
            description.shape.intermediate = try adjusted(description.shape.intermediate, config)
        }
        return description
    }

    /// What both families have in common, but for MLPs.
    static func describe(
        _ config: ConfigCursor, _ family: FamilyTraits
    ) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "conv_bias", config, "short convolutions with a bias (conv_bias) are not supported")
        var traits = family
        traits.normsHeads = true
        traits.epsilonKey = "norm_eps"
        traits.epsilon = 1e-5
        traits.tied = true
        traits.theta = 1_000_000
        traits.context = 128_000
        var description = try FamilyConfig.describe(config, traits)
        description.tiedEmbeddings = try config.bool(
            "tie_embedding", default: description.tiedEmbeddings)
        let taps =
            try config.optional("conv_L_cache") == nil
            ? 3 : FamilyConfig.extent("conv_L_cache", config, most: RowConvolution.mostTaps)
        description.shape.mixer = .convolution(
            ShortConvolutionShape(width: description.shape.hidden, taps: taps))
        description.kinds = try kinds(config, layers: description.layers)
        description.norms.attention = "operator_norm"
        description.norms.feedForward = "ffn_norm"
        description.norms.query = "self_attn.q_layernorm"
        description.norms.key = "self_attn.k_layernorm"
        description.names.finalNorm = "model.embedding_norm"
        description.names.output = "self_attn.out_proj"
        description.names.mixed = "conv.in_proj"
        description.names.convolution = "conv.conv.weight"
        description.names.linearOutput = "conv.out_proj"
        return description
    }

    /// Numbers inside the MLP: two thirds of what the config says, times a factor and rounded up where it has one.
    private static func adjusted(_ width: Int, _ config: ConfigCursor) throws -> Int {
        let isScaled =
            try config.optional("block_ffn_dim_multiplier") != nil
            || !config.hasKey("block_ffn_dim_multiplier")
        guard isScaled else { return max(2 * width / 3, 1) }
        let factor = try FamilyConfig.factor("block_ffn_dim_multiplier", config, default: 1)
        let multiple =
            try config.optional("block_multiple_of") == nil
            ? 256
            : FamilyConfig.extent(
                "block_multiple_of", config, most: FamilyConfig.largestWidth)
        let scaled = factor * Double(2 * width / 3)
        guard scaled >= 1, scaled <= Double(FamilyConfig.largestWidth) else {
            throw config.error(
                .badValue,
                "block_ffn_dim_multiplier (\(factor)) makes MLPs of a width that no model has")
        }
        return (Int(scaled) + multiple - 1) / multiple * multiple
    }

    /// Layers with a convolution; none where the config does not say.
    /// - Throws: `ConfigError` for lists of another length, `ModelError` (`unsupported`) for other kinds of layers.
    private static func kinds(_ config: ConfigCursor, layers: Int) throws -> [LayerKind] {
        var convolution = LayerKind(rotary: nil)
        convolution.isLinear = true
        guard let types = try config.optional("layer_types") else {
            guard let list = try config.optional("full_attn_idxs") else { return [] }
            let attended = Set(try list.elements().map { try $0.int() })
            return (0..<layers).map { attended.contains($0) ? LayerKind() : convolution }
        }
        return try LayerKinds.named(types, layers: layers, supported: "full_attention, conv") {
            ["full_attention": LayerKind(), "conv": convolution][$0]
        }
    }
}

/// `Lfm2MoeForCausalLM`: experts that sigmoids weigh, and first layers without.
package enum LFM2MoE: Architecture {
    package static let modelTypes = ["lfm2_moe"]
    package static let models = "LFM 2 8B-A1B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = FamilyTraits(architecture: "Lfm2MoeForCausalLM")
        traits.mlpNames = DecoderDescription.MLPNames(
            path: "feed_forward.experts", router: "feed_forward.gate", gate: "w1", up: "w3",
            down: "w2")
        traits.mlpNames.dense = "feed_forward"
        traits.mlpNames.correction = "feed_forward.expert_bias"
        traits.intermediateKey = "moe_intermediate_size"
        var description = try LFM2.describe(config, traits)
        let addsUp = try config.bool("norm_topk_prob", default: true)
        try MixtureConfig.read(
            config, into: &description, expertsKey: "num_experts",
            scoring: .sigmoid(addsUp: addsUp))
        description.shape.mixture?.hasCorrection = try config.bool(
            "use_expert_bias", default: true)
        description.shape.mixture?.scale = Float(
            try FamilyConfig.factor("routed_scaling_factor", config, default: 1))
        let dense = try config.optional("num_dense_layers")?.int() ?? 2
        try MixtureConfig.keepExperts(config, in: &description) { $0 >= dense }
        return description
    }
}
