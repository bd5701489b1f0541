// SPDX-License-Identifier: Apache-2.0
// GPT-2 and StarCoder 1.
import EftConfig
import EftNN

/// `GPT2LMHeadModel`: learned positions, layer norms with bias, queries, keys and values in one product; matrices stand by
/// inputs.
package enum GPT2: Architecture {
    package static let modelTypes = ["gpt2"]
    package static let models = "GPT-2, DistilGPT2, DialoGPT, CodeParrot, Cerebras-GPT"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "scale_attn_by_inverse_layer_idx", config,
            "scores divided by the layer's number (scale_attn_by_inverse_layer_idx) are not supported yet"
        )
        var description = try describe(
            config, "GPT2LMHeadModel", kvHeads: FamilyConfig.extent("n_head", config),
            activation: "gelu_new")
        description.storesByInputs = true
        return description
    }

    /// What both families have in common.
    static func describe(
        _ config: ConfigCursor, _ architecture: String, kvHeads: Int, activation: String
    ) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "add_cross_attention", config, "attention to an encoder is not supported")
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: architecture, hiddenKey: "n_embd", headsKey: "n_head",
                layersKey: "n_layer", contextKey: "n_positions", kvHeads: kvHeads,
                queryKeyValueBias: true, outputBias: true, mlpBias: true, isGated: false,
                mlpNames: DecoderDescription.MLPNames(up: "c_fc", down: "c_proj"),
                intermediateKey: "n_inner", intermediateFactor: 4,
                epsilonKey: "layer_norm_epsilon", epsilon: 1e-5,
                activationKey: "activation_function", activation: activation, tied: true,
                context: 1024))
        if try !config.bool("scale_attn_weights", default: true) {
            description.shape.attentionScale = 1
        }
        description.shape.fusedHeads = .blocks
        description.nameAsGPT2()
        description.names.queryKeyValue = "attn.c_attn"
        description.names.output = "attn.c_proj"
        description.learnPositions("transformer.wpe")
        return description
    }
}

/// `GPTBigCodeForCausalLM`: GPT-2's form with matrices by outputs, and one head of keys and values for all queries.
package enum GPTBigCode: Architecture {
    package static let modelTypes = ["gpt_bigcode"]
    package static let models = "StarCoder 1, SantaCoder, Granite Code 20B and 34B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let shares = try config.bool("multi_query", default: true)
        var description = try GPT2.describe(
            config, "GPTBigCodeForCausalLM",
            kvHeads: shares ? 1 : FamilyConfig.extent("n_head", config),
            activation: "gelu_pytorch_tanh")
        description.shape.fusedHeads = shares ? .blocks : .groups
        return description
    }
}

extension DecoderDescription {
    /// Norms and names that GPT-2 has and its followers kept.
    mutating func nameAsGPT2() {
        norms.kind = .layer
        norms.hasBias = true
        norms.attention = "ln_1"
        norms.feedForward = "ln_2"
        names.layers = "transformer.h"
        names.embedding = "transformer.wte"
        names.finalNorm = "transformer.ln_f"
        bareRoot = "transformer."
    }
}
