// SPDX-License-Identifier: Apache-2.0
// The keys that name the base model, its tokenizer and its special tokens.
import EftConfig

/// The base model of a run.
package struct ModelSettings: Sendable, Hashable {
    /// The folder of the base model.
    package var baseModel: String
    /// The folder of the base in NF4, when that was made of it; no key, the caller's choice.
    package var preparedBase: String?
    /// The folder or `config.json` to take the model's description from, when it is not the base model's.
    package var baseModelConfig: String?
    /// The folder of the tokenizer, when it is not the base model's.
    package var tokenizerConfig: String?
    /// Whether weights that are there are left alone and fresh ones made at random.
    package var reinitWeights: Bool
    /// Whether NF4 made while loading quantizes its scales a second time.
    package var doubleQuantization: Bool
    /// Special tokens that differ from the tokenizer's, by role such as `pad_token`, in document order.
    package var specialTokens: [SpecialToken]

    /// A special token and what it is for.
    package struct SpecialToken: Sendable, Hashable {
        /// `bos_token`, `eos_token`, `pad_token` or `unk_token`.
        package let role: String
        /// The token's text.
        package let text: String
    }

    private static let roles = ["bos_token", "eos_token", "pad_token", "unk_token"]

    init(_ config: ConfigCursor) throws(ConfigError) {
        baseModel = try config.required("base_model").string()
        baseModelConfig = try config.text("base_model_config")
        tokenizerConfig = try config.text("tokenizer_config")
        reinitWeights = try config.lenientBool("reinit_weights") ?? false
        let options = try config.optional("bnb_config_kwargs")
        if let type = try options?.optional("bnb_4bit_quant_type"), try type.string() != "nf4" {
            throw type.error(.badValue, "only nf4 is supported")
        }
        doubleQuantization = try options?.lenientBool("bnb_4bit_use_double_quant") ?? true
        specialTokens = []
        guard let tokens = try config.optional("special_tokens") else { return }
        for (role, token) in try tokens.entries() {
            if role == "additional_special_tokens" {
                guard try token.elements().isEmpty else {
                    throw token.error(.badValue, "adding tokens is not supported yet")
                }
            } else if Self.roles.contains(role) {
                specialTokens.append(SpecialToken(role: role, text: try token.string()))
            } else {
                let near = closestMatch(role, in: Self.roles).map { "; did you mean '\($0)'?" }
                throw token.error(.badValue, "unknown special token\(near ?? "")")
            }
        }
    }
}
