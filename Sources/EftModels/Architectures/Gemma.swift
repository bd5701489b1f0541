// SPDX-License-Identifier: Apache-2.0
// Gemma 1, 2 and 3.
import EftConfig
import EftNN

/// `GemmaForCausalLM`: norms hold the distance from one, embeddings are scaled, the MLP is gated by GELU.
package enum Gemma: Architecture {
    package static let modelTypes = ["gemma"]
    package static let models = "Gemma 1, CodeGemma"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describe(config, traits(config, "GemmaForCausalLM", activation: "hidden_act"))
    }

    /// What all of Gemma have in common.
    static func traits(
        _ config: ConfigCursor, _ architecture: String, activation: String
    ) throws -> FamilyTraits {
        let bias = try config.bool("attention_bias", default: false)
        return FamilyTraits(
            architecture: architecture, queryKeyValueBias: bias, outputBias: bias, headDim: 256,
            activationKey: activation, activation: "gelu_pytorch_tanh", tied: true, context: 8192)
    }

    static func describe(
        _ config: ConfigCursor, _ traits: FamilyTraits
    ) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "use_bidirectional_attention", config,
            "tokens of this model see later ones: it makes embeddings, not text")
        var description = try FamilyConfig.describe(config, traits)
        description.norms.offset = 1
        description.embeddingScale = Float(description.shape.hidden).squareRoot()
        return description
    }
}

/// `Gemma2ForCausalLM`: values are normed before they are added, scores and logits are capped, every other layer has a
/// window.
package enum Gemma2: Architecture {
    package static let modelTypes = ["gemma2"]
    package static let models = "Gemma 2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let traits = try Gemma.traits(
            config, "Gemma2ForCausalLM", activation: "hidden_activation")
        var description = try describe(config, traits, cap: 50, logitCap: 30)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: 4096, isSliding: { $0 % 2 == 0 })
        return description
    }

    /// What Gemma 2 and 3 have in common.
    static func describe(
        _ config: ConfigCursor, _ traits: FamilyTraits, cap: Float?, logitCap: Float?
    ) throws -> DecoderDescription {
        var description = try Gemma.describe(config, traits)
        let scalar = try FamilyConfig.factor("query_pre_attn_scalar", config, default: 256)
        description.shape.attentionScale = 1 / Float(scalar).squareRoot()
        description.shape.attentionCap = try FamilyConfig.cap(
            "attn_logit_softcapping", config, default: cap)
        description.logits.cap = try FamilyConfig.cap(
            "final_logit_softcapping", config, default: logitCap)
        description.shape.normsValues = true
        description.norms.attentionValue = "post_attention_layernorm"
        description.norms.feedForward = "pre_feedforward_layernorm"
        description.norms.feedForwardValue = "post_feedforward_layernorm"
        return description
    }
}

/// `Gemma3ForCausalLM`: Gemma 2 with norms of heads in place of the caps, and a rotary embedding of its own for the layers
/// with a window.
package enum Gemma3: Architecture {
    package static let modelTypes = ["gemma3_text", "gemma3"]
    package static let models = "Gemma 3, the language of those that see too"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        // A model that sees pictures too keeps the language's part below.
        guard let text = try config.optional("text_config") else {
            return try describe(text: config)
        }
        var description = try describe(text: text)
        description.roots = ["model.language_model", "language_model.model"]
        return description
    }

    private static func describe(text config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Gemma.traits(config, "Gemma3ForCausalLM", activation: "hidden_activation")
        traits.normsHeads = true
        traits.theta = 1_000_000
        traits.context = 131_072
        traits.rotaryLayers = "full_attention"
        var description = try Gemma2.describe(config, traits, cap: nil, logitCap: nil)
        let pattern = try LayerKinds.pattern("sliding_window_pattern", config, default: 6)
        try LayerKinds.readWithLocalRotary(
            config, into: &description, traits,
            theta: FamilyConfig.factor("rope_local_base_freq", config, default: 10000),
            isSliding: { ($0 + 1) % pattern != 0 })
        return description
    }
}
