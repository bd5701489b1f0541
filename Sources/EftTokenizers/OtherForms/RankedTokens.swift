// SPDX-License-Identifier: Apache-2.0
// Tokens of bytes that merge in the order of their ranks, as tiktoken has them.
import EftConfig
import EftGGUF

/// Checks tokens of bytes, and makes a tokenizer of them.
struct RankedTokens {
    /// The longest token, in bytes.
    private static let longest = 2048

    private var list = TokenList()
    private var isByte = [Bool](repeating: false, count: 256)
    private let file: String

    /// Begins with special tokens, whose ids come before all others.
    init(special: [String] = [], file: String) {
        self.file = file
        for text in special { list.append(Array(text.utf8), kind: .control, isPlain: false) }
    }

    /// Adds the token of the next rank.
    /// - Throws: `TokenizerError` (`malformed`).
    mutating func append(_ token: [UInt8]) throws(TokenizerError) {
        guard !token.isEmpty, token.count <= Self.longest else {
            throw TokenizerError(
                .malformed, "a token has \(token.count) bytes; 1 to \(Self.longest) are read",
                file: file)
        }
        guard list.count <= Int(Vocabulary.maximumID) else {
            throw TokenizerError(
                .malformed, "there are more than \(Vocabulary.maximumID) tokens", file: file)
        }
        if token.count == 1 { isByte[Int(token[0])] = true }
        var letters: [UInt8] = []
        token.withUnsafeBufferPointer { ByteLevelAlphabet.encode($0, into: &letters) }
        list.append(letters, kind: .normal, isPlain: false)
    }

    /// The tokenizer.
    /// - Parameter patterns: cut text into words.
    /// - Throws: `TokenizerError` (`malformed`) for tokens that appear twice and bytes without one.
    func sketch(patterns: [String]) throws(TokenizerError) -> TokenizerSketch {
        if let byte = isByte.firstIndex(of: false) {
            throw TokenizerError(
                .malformed, "there is no token for the byte \(byte)", file: file)
        }
        var list = list
        list.index()
        for id in 0..<list.count where list.isRepeated[id] {
            // A token that spells a special one is never needed: its text is found before words are.
            let first = list.id(of: Array(list[id]))
            if let first, list.kinds[first] == .control, list.kinds[id] == .normal { continue }
            throw TokenizerError(
                .malformed, "the token '\(excerpt(list.text(id)))' (\(id)) appears twice",
                file: file)
        }
        var sketch = TokenizerSketch(list)
        sketch.preTokenizer =
            PreTokenization(patterns: patterns, ignoresMerges: true).node
        sketch.ignoresMerges = true
        return sketch
    }
}

extension TokenizerSketch {
    /// The document of a tokenizer whose merges its ranks imply.
    func rankedDocument() -> [UInt8] {
        let merges = tokens.mergesOfRanks()
        return document { $0.merges(merges, of: tokens) }
    }
}
