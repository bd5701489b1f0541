// SPDX-License-Identifier: Apache-2.0
// The keys that name the base model, its tokenizer and its special tokens.
import EftConfig
import EftFormats
import EftHub
import EftModels

/// The base model of a run.
package struct ModelSettings: Sendable, Hashable {
    /// The folder of the base model.
    package var baseModel: String
    /// The base model's name on the hub, when it came by that.
    package var hubName: String?
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
    /// Special tokens without a role.
    package var additionalSpecialTokens: [String] = []
    /// Ordinary tokens that are added to the vocabulary where it lacks them.
    package var newTokens: [String]
    /// New texts of added tokens, by id.
    package var tokenOverrides: [Int32: String] = [:]
    /// Whether embedding and head grow to a multiple of 32 rows.
    package var roundsVocabulary: Bool
    /// Whether new rows begin with the mean of the old ones, and not at random.
    package var fillsWithMean: Bool

    /// A special token and what it is for.
    package struct SpecialToken: Sendable, Hashable {
        /// `bos_token`, `eos_token`, `pad_token` or `unk_token`.
        package let role: String
        /// The token's text.
        package let text: String
    }

    private static let roles = ["bos_token", "eos_token", "pad_token", "unk_token"]

    init(_ config: ConfigCursor) throws(ConfigError) {
        baseModel = try Self.dated(config.required("base_model").string(), config)
        baseModelConfig = try config.text("base_model_config")
        tokenizerConfig = try config.text("tokenizer_config")
        reinitWeights = try config.lenientBool("reinit_weights") ?? false
        let options = try config.optional("bnb_config_kwargs")
        if let type = try options?.optional("bnb_4bit_quant_type"), try type.string() != "nf4" {
            throw type.error(.badValue, "only nf4 is supported")
        }
        // LoftQ on a base that is not asked for in 4 bits rounds it once, as PEFT does.
        let usesLoftQ = try AdapterBase.usesLoftQ(config)
        let isDouble = try config.lenientBool("load_in_4bit") ?? false ? true : !usesLoftQ
        doubleQuantization =
            try options?.lenientBool("bnb_4bit_use_double_quant") ?? isDouble
        specialTokens = []
        newTokens = []
        roundsVocabulary = try config.lenientBool("resize_token_embeddings_to_32x") ?? false
        fillsWithMean = try config.lenientBool("mean_resizing_embeddings") ?? true
        for (key, value) in try config.optional("added_tokens_overrides")?.entries() ?? [] {
            guard let id = Int32(key), id >= 0 else {
                throw value.error(.badValue, "'\(excerpt(key))' is no token id")
            }
            tokenOverrides[id] = try value.string()
        }
        if let tokens = try config.optional("special_tokens") { try readRoles(tokens) }
        guard let tokens = try config.optional("tokens") else { return }
        // Old configurations have special tokens here.
        if case .object = tokens.node.value {
            try readRoles(tokens)
        } else {
            newTokens = try config.texts("tokens") ?? []
        }
    }

    /// A base model's name on the hub with the revision that a configuration names; any path as it is.
    /// - Throws: `ConfigError` for a text that is no revision.
    package static func dated(
        _ base: String, _ config: ConfigCursor
    ) throws(ConfigError) -> String {
        guard let revision = try config.text("revision_of_model"), !FileSystem.exists(base),
            let name = HubName(base)
        else { return base }
        guard let dated = name.at(revision) else {
            throw try config.required("revision_of_model").error(
                .badValue, "takes one branch, tag or commit; found '\(excerpt(revision))'")
        }
        return dated.description
    }

    /// What an adapter's file calls its base.
    package var recordedBase: String { hubName ?? baseModel }

    /// Whether the configuration says anything about single tokens.
    var namesTokens: Bool {
        !specialTokens.isEmpty || !additionalSpecialTokens.isEmpty || !newTokens.isEmpty
            || !tokenOverrides.isEmpty || roundsVocabulary
    }

    private mutating func readRoles(_ tokens: ConfigCursor) throws(ConfigError) {
        for (role, token) in try tokens.entries() where token.asksForSomething {
            if role == "additional_special_tokens" {
                additionalSpecialTokens = try tokens.texts(role) ?? []
            } else if Self.roles.contains(role) {
                specialTokens.removeAll { $0.role == role }
                specialTokens.append(SpecialToken(role: role, text: try token.string()))
            } else {
                let near = closestMatch(role, in: Self.roles).map { "; did you mean '\($0)'?" }
                throw token.error(.badValue, "unknown special token\(near ?? "")")
            }
        }
    }
}
