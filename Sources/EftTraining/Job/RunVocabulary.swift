// SPDX-License-Identifier: Apache-2.0
// The tokens of a run: those of a tokenizer, and those that its configuration adds.
import EftConfig
import EftModels
import EftTensor
import EftTokenizers

/// The tokenizer of a run, and how many rows embedding and head need for it.
struct RunVocabulary: Sendable {
    /// The tokenizer's folder.
    let folder: String
    /// The changed tokenizer; nil when it is used as it is.
    let patch: TokenizerPatch?
    /// Rows of embedding and head.
    let size: Int
    /// Texts of the tokens that the model did not know.
    let newTokens: [String]
    /// The id of the EOS token that the configuration names; nil when it names none.
    let namedEnd: Int32?

    /// Finds out which tokens are new. The tokenizer is read only when the configuration names tokens.
    /// - Throws: `TokenizerError`.
    init(_ settings: ModelSettings, folder: String, vocabulary: Int) throws {
        self.folder = folder
        guard settings.namesTokens else {
            (patch, size, newTokens, namedEnd) = (nil, vocabulary, [], nil)
            return
        }
        let tokenizer = try Tokenizer.load(folder: folder)
        var change = TokenizerChange(renamed: settings.tokenOverrides)
        var texts: [String] = []
        func add(_ text: String, isSpecial: Bool) {
            if let id = tokenizer.id(for: text) {
                guard isSpecial, !tokenizer.isSpecial(id) else { return }
            } else if settings.tokenOverrides.values.contains(text) {
                return
            } else if !texts.contains(text) {
                texts.append(text)
            }
            if !change.added.contains(where: { $0.content == text }) {
                change.added.append(TokenizerChange.NewToken(text, isSpecial: isSpecial))
            }
        }
        for token in settings.specialTokens { add(token.text, isSpecial: true) }
        for text in settings.newTokens { add(text, isSpecial: false) }
        for text in settings.additionalSpecialTokens { add(text, isSpecial: true) }
        // Rows are never padded: a padding token alone is no reason to let the model grow.
        let padding = settings.specialTokens.first { $0.role == "pad_token" }?.text
        if texts == [padding] {
            change.added.removeAll { $0.content == padding }
            texts = []
        }
        newTokens = texts
        patch = change.isEmpty ? nil : try TokenizerPatch(change, of: tokenizer, folder: folder)
        let changed = patch?.tokenizer ?? tokenizer
        namedEnd = settings.specialTokens.first { $0.role == "eos_token" }
            .flatMap { changed.id(for: $0.text) }
        let ids = changed.idBound
        let needed = settings.roundsVocabulary ? roundUp(ids, to: 32) : ids
        size =
            texts.isEmpty && !settings.roundsVocabulary ? vocabulary : max(vocabulary, needed)
    }

    /// The tokenizer.
    /// - Throws: `TokenizerError`.
    func tokenizer() throws -> Tokenizer { try patch?.tokenizer ?? Tokenizer.load(folder: folder) }

    /// Copies the tokenizer's files.
    /// - Throws: `TokenizerError`.
    func copy(to destination: String) throws {
        if let patch {
            try patch.copy(to: destination)
        } else {
            try TokenizerFiles.copy(from: folder, to: destination)
        }
    }
}
