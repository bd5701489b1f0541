// SPDX-License-Identifier: Apache-2.0
// Baichuan 7B.
import EftConfig
import EftNN

/// `BaichuanForCausalLM` in its smaller size: the Llama form with queries, keys and values in one product.
package enum Baichuan: Architecture {
    package static let modelTypes = ["baichuan"]
    package static let models = "Baichuan 7B"
    /// The hidden size of those that rotate, and the vocabulary of those whose head is normed.
    private static let (rotatingHidden, secondVocabulary) = (4096, 125_696)

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "BaichuanForCausalLM", contextKey: "model_max_length",
                kvHeads: try FamilyConfig.extent("num_attention_heads", config), context: 4096))
        // The configurations of all sizes look alike.
        guard description.shape.hidden <= rotatingHidden else {
            throw ModelError(
                .unsupported,
                "Baichuan 13B has positions by the distance of tokens (alibi), which are not supported yet; "
                    + "take a 7B one", path: config.file)
        }
        guard description.vocabulary != secondVocabulary else {
            throw ModelError(
                .unsupported,
                "Baichuan 2 has a head whose rows are normed, which is not supported yet; take another model",
                path: config.file)
        }
        description.shape.fusedHeads = .blocks
        description.names.queryKeyValue = "self_attn.W_pack"
        return description
    }
}
