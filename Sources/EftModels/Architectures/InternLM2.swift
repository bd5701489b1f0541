// SPDX-License-Identifier: Apache-2.0
// InternLM 2 and 2.5.
import EftConfig
import EftNN

/// `InternLM2ForCausalLM`: the Llama form under other names, with queries, keys and values in one product, each head of
/// keys beside its queries.
package enum InternLM2: Architecture {
    package static let modelTypes = ["internlm2"]
    package static let models = "InternLM 2 and 2.5"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("bias", default: false)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "InternLM2ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                mlpNames: DecoderDescription.MLPNames(
                    path: "feed_forward", gate: "w1", up: "w3", down: "w2")))
        description.shape.fusedHeads = .groups
        description.norms.attention = "attention_norm"
        description.norms.feedForward = "ffn_norm"
        description.names.embedding = "model.tok_embeddings"
        description.names.head = "output"
        description.names.queryKeyValue = "attention.wqkv"
        description.names.output = "attention.wo"
        return description
    }
}
