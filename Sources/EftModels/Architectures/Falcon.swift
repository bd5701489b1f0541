// SPDX-License-Identifier: Apache-2.0
// Falcon 1 and 2.
import EftConfig
import EftNN

/// `FalconForCausalLM`: layer norms with bias, attention and MLP side by side, few heads of keys, each beside its queries
/// in one product.
package enum Falcon: Architecture {
    package static let modelTypes = ["falcon"]
    package static let models = "Falcon 7B, 40B, 11B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "alibi", config, "positions by the distance of tokens (alibi) are not supported yet")
        let isNew = try config.bool("new_decoder_architecture", default: false)
        let heads = try FamilyConfig.extent("num_attention_heads", config)
        var kvHeads = heads
        if isNew {
            kvHeads =
                try config.optional("num_kv_heads") == nil
                ? heads : FamilyConfig.extent("num_kv_heads", config)
        } else if try config.bool("multi_query", default: true) {
            kvHeads = 1
        }
        let bias = try config.bool("bias", default: false)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "FalconForCausalLM", kvHeads: kvHeads, queryKeyValueBias: bias,
                outputBias: bias, mlpBias: bias, isGated: false,
                mlpNames: DecoderDescription.MLPNames(
                    up: "dense_h_to_4h", down: "dense_4h_to_h"),
                intermediateKey: "ffn_hidden_size", intermediateFactor: 4,
                epsilonKey: "layer_norm_epsilon", epsilon: 1e-5, activationKey: "activation",
                activation: "gelu", tied: true))
        description.shape.fusedHeads = .groups
        description.norms.kind = .layer
        description.norms.hasBias = true
        try readNorms(config, isNew: isNew, into: &description)
        description.names.layers = "transformer.h"
        description.names.embedding = "transformer.word_embeddings"
        description.names.finalNorm = "transformer.ln_f"
        description.names.queryKeyValue = "self_attention.query_key_value"
        description.names.output = "self_attention.dense"
        return description
    }

    private static func readNorms(
        _ config: ConfigCursor, isNew: Bool, into description: inout DecoderDescription
    ) throws {
        description.shape.isParallel = try isNew || config.bool("parallel_attn", default: true)
        guard description.shape.isParallel else { return }
        let norms = try config.optional("num_ln_in_parallel_attn")?.int() ?? (isNew ? 2 : 1)
        description.norms.feedForward = nil
        if isNew, norms == 2 {
            description.norms.attention = "ln_attn"
            description.norms.feedForward = "ln_mlp"
        }
    }
}
