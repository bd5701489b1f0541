// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, as a tokenizer.json describes it.

import Synchronization

/// A tokenizer; immutable, and usable from any number of threads at once.
///
/// Encoding equals that of the `tokenizers` library. The file's `truncation` and `padding` are not applied.
package final class Tokenizer: Sendable {
    let model: any TokenModel
    /// The model's tokens.
    let vocabulary: Vocabulary
    /// Whether the model's tokens are spelled in GPT-2's letters for bytes.
    let isByteLevel: Bool
    let added: AddedVocabulary
    let normalizer: Normalizer?
    let preTokenizer: [PreTokenizerStep]
    let postProcessor: PostProcessor
    let decoder: [DecoderStep]
    private let special: SpecialTokenIDs
    /// One more than the largest id of any token.
    package let idBound: Int
    /// Number of different tokens, added ones included.
    package let vocabularySize: Int
    private let scratches = Mutex<[EncoderScratch]>([])

    /// The token at the beginning of a text, when the tokenizer names one.
    package var bosID: Int32? { special.bos }
    /// The token at the end of a text, when the tokenizer names one.
    package var eosID: Int32? { special.eos }
    /// The token that fills up short rows, when the tokenizer names one.
    package var padID: Int32? { special.pad }
    /// The tokens that end generation: those of generation_config.json, or else `eosID`.
    package var eosIDs: [Int32] { special.stops }

    /// Makes a tokenizer of the text of a tokenizer.json alone; it names no special ids.
    /// - Throws: `TokenizerError` with key path and line.
    package convenience init(json: [UInt8], file: String? = nil) throws(TokenizerError) {
        try self.init(TokenizerDocument(json, file: file), folder: nil)
    }

    /// Makes the tokenizer of a folder.
    convenience init(_ source: TokenizerSource, folder: String) throws(TokenizerError) {
        let document = try TokenizerDocument(source.bytes, file: source.file)
        try self.init(source, document, folder: folder)
    }

    /// Makes the tokenizer of a folder whose document is read already.
    convenience init(
        _ source: TokenizerSource, _ document: TokenizerDocument, folder: String
    ) throws(TokenizerError) {
        try self.init(
            document, folder: folder, special: source.special, characters: source.characters)
    }

    private init(
        _ document: TokenizerDocument, folder: String?,
        special usual: TokenizerSource.Special = TokenizerSource.Special(),
        characters: CharacterMap? = nil
    ) throws(TokenizerError) {
        let root = document.root
        if let version = try root.optional("version"), try version.string() != "1.0" {
            throw version.error(
                .unsupported,
                "the version '\(try version.string())' is not supported; only '1.0' is")
        }
        let steps =
            try root.optional("pre_tokenizer")
            .map { (node) throws(TokenizerError) in try PreTokenizerStep.steps(node) } ?? []
        var normalizer = try root.optional("normalizer")
            .map { (node) throws(TokenizerError) in try Normalizer(node) }
        if let characters {
            normalizer = .sequence([.characters(characters)] + [normalizer].compactMap { $0 })
        }
        var isByteLevel = false
        if case .byteLevel? = steps.last { isByteLevel = true }
        let vocabulary = document.vocabulary
        model =
            switch document.kind {
            case .bytePairs: try BPEModel(document, isByteLevel: isByteLevel)
            case .unigram: try UnigramModel(document, isByteLevel: isByteLevel)
            }
        let added = try AddedVocabulary(
            root.optional("added_tokens"), vocabulary: vocabulary, normalizer: normalizer)
        self.vocabulary = vocabulary
        self.isByteLevel = isByteLevel
        self.added = added
        self.normalizer = normalizer
        preTokenizer = steps
        postProcessor = try PostProcessor(root.optional("post_processor"))
        decoder = try DecoderStep.steps(root.optional("decoder"))
        idBound = added.tokens.map { Int($0.id) + 1 }.reduce(vocabulary.idBound, max)
        vocabularySize =
            vocabulary.count
            + added.tokens.filter { vocabulary.id(of: $0.content) == nil }.count
        special = try SpecialTokenIDs(folder: folder, usual: usual) { token in
            added.id(of: token) ?? vocabulary.id(of: token)
        }
    }

    // MARK: Tokens

    /// The text of the token with an id as the vocabulary spells it, or nil when there is no such token.
    package func token(for id: Int32) -> String? {
        tokenBytes(for: id).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The id of a token as the vocabulary spells it, or nil when there is no such token.
    package func id(for token: String) -> Int32? {
        added.id(of: token) ?? vocabulary.id(of: token)
    }

    /// Whether decoding can leave the token out.
    package func isSpecial(_ id: Int32) -> Bool { added.token(for: id)?.special ?? false }

    func tokenBytes(for id: Int32) -> [UInt8]? {
        added.token(for: id)?.content ?? vocabulary.token(for: id).map { Array($0) }
    }

    // MARK: Encoding

    /// The ids of a text.
    /// - Parameter addSpecialTokens: whether the post-processor puts its tokens around, such as one at the beginning.
    /// - Throws: `TokenizerError` (`matching`, `text`) when a pattern's limits or the text's size are exceeded.
    package func encode(
        _ text: String, addSpecialTokens: Bool
    ) throws(TokenizerError) -> [Int32] {
        guard text.utf8.count < Int32.max else {
            throw TokenizerError(
                .text, "a text of \(text.utf8.count) bytes is too long; split it below 2 GiB")
        }
        var scratch: EncoderScratch
        if let kept = scratches.withLock({ $0.popLast() }) {
            scratch = kept
        } else {
            scratch = try EncoderScratch()
        }
        var run = EncoderRun(self, scratch: consume scratch)
        var text = text
        let failure = text.withUTF8 { bytes -> TokenizerError? in
            do throws(TokenizerError) { try run.encode(bytes) } catch { return error }
            return nil
        }
        let ids = run.ids
        scratch = run.takeScratch()
        scratches.withLock { if $0.count < 16 { $0.append(scratch) } }
        if let failure { throw failure }
        return postProcessor.process(ids, addSpecialTokens: addSpecialTokens)
    }

    // MARK: Decoding

    /// The text of ids; ids without a token are left out, and bytes that are no UTF-8 become U+FFFD.
    /// - Throws: `TokenizerError` (`matching`) when a pattern of the decoder exceeds its limits.
    package func decode(
        _ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false
    ) throws(TokenizerError) -> String {
        var text: [UInt8] = []
        if case .byteLevel? = decoder.first, decoder.count == 1 {
            for id in ids { appendBytes(of: id, skipSpecialTokens, to: &text) }
            return String(decoding: text, as: UTF8.self)
        }
        var stream = try StreamingDetokenizer(self, skipSpecialTokens: skipSpecialTokens)
        for id in ids { try stream.append(id, into: &text) }
        try stream.finish(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the bytes that a byte-level token stands for.
    private func appendBytes(
        of id: Int32, _ skipSpecialTokens: Bool, to text: inout [UInt8]
    ) {
        if let index = added.index(for: id) {
            let token = added.tokens[index]
            if skipSpecialTokens && token.special { return }
            if !ByteLevelAlphabet.append(token.content, to: &text) { text += token.content }
        } else if let token = vocabulary.token(for: id) {
            if !ByteLevelAlphabet.append(token, to: &text) { text += token }
        }
    }
}
