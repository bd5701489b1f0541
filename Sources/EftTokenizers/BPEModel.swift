// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding: words into token ids by merging pairs in the order of their ranks.

/// The model of a tokenizer.json of the type BPE.
final class BPEModel: TokenModel {
    /// What becomes of a character that is not in the vocabulary.
    private enum Unknown: Sendable {
        case dropped
        case token(Int32)
        case missing(String)
    }

    private let vocabulary: Vocabulary
    private let merges: MergeTable
    private let unknown: Unknown
    private let fuseUnknown: Bool
    /// Tokens of bytes, where unknown characters become those.
    private let bytes: FallbackBytes?
    private let ignoreMerges: Bool
    /// Whether words are raw bytes, each of which stands for a character of the byte-level alphabet.
    private let isByteLevel: Bool
    /// The token of each byte's character, or -1; used when `isByteLevel`.
    private let byteSymbols: [Int32]
    /// The bytes of whole tokens, for `ignoreMerges` when `isByteLevel`, and their ids.
    private let wholeWords: ByteStringTable
    private let wholeWordIDs: [Int32]

    /// Makes the model of a document.
    /// - Parameter isByteLevel: whether the words come as raw bytes from a ByteLevel pre-tokenizer.
    /// - Throws: `TokenizerError` for settings that are not supported.
    init(_ document: TokenizerDocument, isByteLevel: Bool) throws(TokenizerError) {
        let node = try document.root.required("model")
        let vocabulary = document.vocabulary
        self.vocabulary = vocabulary
        merges = document.merges
        self.isByteLevel = isByteLevel
        fuseUnknown = try node.bool("fuse_unk", default: false)
        bytes =
            try node.bool("byte_fallback", default: false) ? FallbackBytes(vocabulary) : nil
        ignoreMerges = try node.bool("ignore_merges", default: false)
        if let place = try node.optional("dropout"), try place.double() != 0 {
            throw place.error(.unsupported, "dropout in a tokenizer is not supported; set it to 0")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let place = try node.optional(key), try !place.string().isEmpty {
                throw place.error(.unsupported, "a non-empty '\(key)' is not supported")
            }
        }
        if let token = try node.optional("unk_token")?.string() {
            unknown = vocabulary.id(of: token).map { .token($0) } ?? .missing(token)
        } else {
            unknown = .dropped
        }
        byteSymbols = ByteLevelAlphabet.characters.map { vocabulary.id(of: $0) ?? -1 }
        var words = ByteStringTable(
            capacity: isByteLevel && ignoreMerges ? vocabulary.count : 0)
        var ids: [Int32] = []
        if isByteLevel && ignoreMerges {
            for id in 0..<Int32(vocabulary.idBound) {
                guard let token = vocabulary.token(for: id),
                    let bytes = ByteLevelAlphabet.decode(token)
                else { continue }
                if bytes.withUnsafeBufferPointer({ words.insert($0).isNew }) { ids.append(id) }
            }
        }
        wholeWords = words
        wholeWordIDs = ids
    }

    func encode(
        _ word: UnsafeBufferPointer<UInt8>, scratch: inout WordScratch, into ids: inout [Int32]
    ) throws(TokenizerError) {
        if ignoreMerges, let id = wholeWord(word) { return ids.append(id) }
        try encode(word, &scratch.merging, into: &ids)
    }

    private func encode(
        _ word: UnsafeBufferPointer<UInt8>, _ scratch: inout MergeScratch,
        into ids: inout [Int32]
    ) throws(TokenizerError) {
        scratch.removeAll()
        if isByteLevel {
            var isComplete = true
            for byte in word {
                let symbol = byteSymbols[Int(byte)]
                if symbol < 0 {
                    isComplete = false
                    break
                }
                scratch.append(symbol)
            }
            if !isComplete {
                scratch.removeAll()
                var characters: [UInt8] = []
                ByteLevelAlphabet.encode(word, into: &characters)
                try characters.withUnsafeBufferPointer { (text) throws(TokenizerError) in
                    try appendCharacters(of: text, to: &scratch)
                }
            }
        } else {
            try appendCharacters(of: word, to: &scratch)
        }
        scratch.merge(with: merges)
        scratch.appendSymbols(to: &ids)
    }

    private func wholeWord(_ word: UnsafeBufferPointer<UInt8>) -> Int32? {
        isByteLevel ? wholeWords.index(of: word).map { wholeWordIDs[$0] } : vocabulary.id(of: word)
    }

    /// Appends the tokens of single characters; the unknown token waits for the next known character, as in the
    /// library, even when bytes come between.
    private func appendCharacters(
        of text: UnsafeBufferPointer<UInt8>, to scratch: inout MergeScratch
    ) throws(TokenizerError) {
        var pending: Int32?
        var position = 0
        while position < text.count {
            let end = min(position &+ utf8Length(text[position]), text.count)
            let character = UnsafeBufferPointer(rebasing: text[position..<end])
            position = end
            if let id = vocabulary.id(of: character) {
                if let waiting = pending { scratch.append(waiting) }
                pending = nil
                scratch.append(id)
                continue
            }
            if let bytes, bytes.has(character) {
                for byte in character { scratch.append(bytes[byte]) }
                continue
            }
            switch unknown {
            case .dropped: break
            case .token(let id):
                if let waiting = pending, !fuseUnknown { scratch.append(waiting) }
                pending = id
            case .missing(let token):
                throw TokenizerError(
                    .text,
                    "'\(String(decoding: character, as: UTF8.self))' is not in the vocabulary, and "
                        + "neither is the unknown token '\(token)'")
            }
        }
        if let waiting = pending { scratch.append(waiting) }
    }
}
