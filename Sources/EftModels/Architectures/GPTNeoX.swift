// SPDX-License-Identifier: Apache-2.0
// GPT-NeoX and Pythia.
import EftConfig
import EftNN

/// `GPTNeoXForCausalLM`: layer norms with bias, attention and MLP side by side with a norm each, queries, keys and values
/// head by head in one product.
package enum GPTNeoX: Architecture {
    package static let modelTypes = ["gpt_neox"]
    package static let models = "Pythia, GPT-NeoX 20B, RedPajama, Dolly 2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: true)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "GPTNeoXForCausalLM",
                kvHeads: try FamilyConfig.extent("num_attention_heads", config),
                queryKeyValueBias: bias, outputBias: bias,
                mlpBias: true, isGated: false,
                mlpNames: DecoderDescription.MLPNames(
                    up: "dense_h_to_4h", down: "dense_4h_to_h"),
                epsilonKey: "layer_norm_eps", epsilon: 1e-5, activation: "gelu",
                theta: try config.double("rotary_emb_base", default: 10000),
                rotaryShare: try config.double("rotary_pct", default: 0.25)))
        description.shape.fusedHeads = .groups
        description.shape.isParallel = try config.bool("use_parallel_residual", default: true)
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.names.layers = "gpt_neox.layers"
        description.names.embedding = "gpt_neox.embed_in"
        description.names.finalNorm = "gpt_neox.final_layer_norm"
        description.names.head = "embed_out"
        description.names.queryKeyValue = "attention.query_key_value"
        description.names.output = "attention.dense"
        return description
    }
}
