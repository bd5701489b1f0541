// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a run, with the special tokens of its configuration.
import EftConfig
import EftModels
import EftTokenizers

/// A tokenizer that fits the model.
struct TrainingTokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let folder: String
    private let bosID: Int32?
    private let eosID: Int32?
    /// The token that fills up rows: the configuration's or the tokenizer's, or else EOS, as TRL has it.
    let padID: Int32?
    private let specialTokens: [ModelSettings.SpecialToken]
    /// Lines for the user.
    private(set) var notices: [String] = []

    /// Loads the tokenizer of a run.
    /// - Throws: `TokenizerError`, and `ModelError` when tokenizer and model do not belong together.
    init(_ settings: ModelSettings, _ source: RunVocabulary, vocabulary: Int) throws {
        tokenizer = try source.tokenizer()
        folder = source.folder
        specialTokens = settings.specialTokens
        var ids = [
            "bos_token": tokenizer.bosID, "eos_token": tokenizer.eosID,
            "pad_token": tokenizer.padID,
        ]
        for special in settings.specialTokens {
            // Only a padding token may be missing: rows are never padded.
            if let id = tokenizer.id(for: special.text) { ids[special.role] = id }
        }
        (bosID, eosID) = (ids["bos_token"] ?? nil, ids["eos_token"] ?? nil)
        padID = (ids["pad_token"] ?? nil) ?? eosID
        if eosID == nil {
            notices.append(
                "the tokenizer names no EOS token: responses will be learned without an end; "
                    + "set special_tokens.eos_token")
        }
        // Special tokens beyond the model's vocabulary are common, and harmless while no text holds them.
        let beyond =
            Int32(clamping: vocabulary)..<Int32(clamping: max(vocabulary, tokenizer.idBound))
        let tokenizer = tokenizer
        guard beyond.allSatisfy({ tokenizer.token(for: $0) == nil || tokenizer.isSpecial($0) })
        else {
            throw ModelError(
                .mismatch,
                "the tokenizer has ids up to \(tokenizer.idBound - 1), the model a vocabulary of "
                    + "\(vocabulary); they do not belong together", path: folder)
        }
    }

    /// Tokens that end an answer.
    var endIDs: Set<Int32> { Set(tokenizer.eosIDs + [eosID].compactMap { $0 }) }

    /// The text of an answer, without special tokens.
    func answer(_ ids: [Int32]) throws -> String {
        try tokenizer.decode(ids, skipSpecialTokens: true)
    }

    /// The text of ids, special tokens included.
    func text(_ ids: some Sequence<Int32>) throws -> String { try tokenizer.decode(ids) }

    /// An encoder for the data.
    func encoder(_ settings: DataSettings) -> PromptEncoder {
        PromptEncoder(
            sequenceLen: settings.sequenceLen, trainOnInputs: settings.trainOnInputs, bosID: bosID,
            eosID: eosID,
            chat: ChatResources(
                tokenizer: tokenizer, folder: folder, settings: settings.chat,
                replacing: specialTokens.map { ($0.role, $0.text) })
        ) { [tokenizer] text, addSpecialTokens in
            try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
        }
    }

    /// Checks that the model knows every token of the data.
    /// - Throws: `ModelError` (`mismatch`).
    func check(_ data: TrainingData, vocabulary: Int) throws(ModelError) {
        for example in data.train + data.validation {
            let ids = example.tokens + (example.rejected?.tokens ?? [])
            guard let bad = ids.first(where: { $0 < 0 || Int($0) >= vocabulary }) else { continue }
            throw ModelError(
                .mismatch,
                "the data holds the token '\(excerpt(tokenizer.token(for: bad) ?? ""))' with id \(bad), the "
                    + "model has a vocabulary of \(vocabulary)", path: folder)
        }
    }
}
