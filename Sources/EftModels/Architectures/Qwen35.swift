// SPDX-License-Identifier: Apache-2.0
// Qwen 3.5, dense and with experts.
import EftConfig
import EftNN

/// `Qwen3_5ForCausalLM`: Qwen 3 Next with an MLP, and with a product for each part of linear attention.
package enum Qwen35: Architecture {
    package static let modelTypes = ["qwen3_5_text", "qwen3_5"]
    package static let models = "Qwen 3.5 and 3.6, dense, the language of those that see too"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describeLanguage(config) { text in
            try Qwen3Next.describe(
                text, "Qwen3_5ForCausalLM", isGrouped: false, hasExperts: false)
        }
    }

    /// The language of a model that sees pictures too stands below; nothing is read of what sees.
    static func describeLanguage(
        _ config: ConfigCursor, _ describe: (ConfigCursor) throws -> DecoderDescription
    ) throws -> DecoderDescription {
        guard let text = try config.optional("text_config") else { return try describe(config) }
        var description = try describe(text)
        description.roots = ["model.language_model", "language_model.model"]
        description.tiedEmbeddings = try config.bool(
            "tie_word_embeddings", default: description.tiedEmbeddings)
        return description
    }
}

/// `Qwen3_5MoeForCausalLM`: Qwen 3.5 with experts, and an MLP beside them that a sigmoid weighs.
package enum Qwen35MoE: Architecture {
    package static let modelTypes = ["qwen3_5_moe_text", "qwen3_5_moe"]
    package static let models = "Qwen 3.5 and 3.6 with experts (35B-A3B, 122B-A10B, 397B-A17B)"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try Qwen35.describeLanguage(config) { text in
            var description = try Qwen3Next.describe(
                text, "Qwen3_5MoeForCausalLM", isGrouped: false, hasExperts: true)
            try Qwen3Next.readExperts(text, into: &description)
            description.possibleStack = ExpertStack(
                gateUp: ExpertStack.Tensor(weight: "mlp.experts.gate_up_proj"),
                down: ExpertStack.Tensor(weight: "mlp.experts.down_proj"))
            return description
        }
    }
}
