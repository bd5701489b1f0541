// SPDX-License-Identifier: Apache-2.0
// Tokens beside the model's vocabulary, which are found in the text before anything else.

/// A token of `added_tokens`.
struct AddedToken: Sendable {
    /// The text, in UTF-8.
    let content: [UInt8]
    /// The id.
    let id: Int32
    /// Whether it matches only where no word character touches it.
    let singleWord: Bool
    /// Whether it takes the white space to its left.
    let stripsLeft: Bool
    /// Whether it takes the white space to its right.
    let stripsRight: Bool
    /// Whether it is matched in the normalized text.
    let normalized: Bool
    /// Whether decoding can leave it out.
    let special: Bool
}

/// The added tokens of a tokenizer.
struct AddedVocabulary: Sendable {
    /// The tokens, in the order of the file.
    let tokens: [AddedToken]
    /// Finder of the tokens that match in the raw text.
    let rawFinder: AddedTokenFinder
    /// Finder of the tokens that match in the normalized text.
    let normalizedFinder: AddedTokenFinder
    private let indexByContent: ByteStringTable
    /// The place of the token with an id, or -1.
    private let indexByID: [Int32]

    /// Reads `added_tokens`; ids are given as the library gives them: the model's for a token that the model has, else
    /// the next free one, whatever the file says.
    /// - Throws: `TokenizerError` for faulty or repeated tokens and ids.
    init(
        _ node: TokenizerNode?, vocabulary: Vocabulary, normalizer: Normalizer?
    ) throws(TokenizerError) {
        var tokens: [AddedToken] = []
        var contents = ByteStringTable()
        var claimed: [Int32: Int] = [:]
        var byID: [Int32] = []
        var largest: Int32?
        for item in try node?.elements() ?? [] {
            let place = try item.required("id")
            let claim = try place.tokenID()
            guard claimed.updateValue(tokens.count, forKey: claim) == nil else {
                throw place.error(.malformed, "the id \(claim) is given to two added tokens")
            }
            let content = Array(try item.string("content").utf8)
            if content.isEmpty { continue }
            guard content.count <= GrowthLimit.addedToken else {
                throw item.error(
                    .unsupported,
                    "an added token of \(content.count) bytes; at most \(GrowthLimit.addedToken) are read"
                )
            }
            guard content.withUnsafeBufferPointer({ contents.insert($0).isNew }) else {
                throw item.error(.malformed, "the added token appears twice")
            }
            let size = Int32(truncatingIfNeeded: vocabulary.count)
            let id = vocabulary.id(of: content) ?? largest.map { max($0 &+ 1, size) } ?? size
            largest = max(largest ?? 0, id)
            while byID.count <= Int(id) { byID.append(-1) }
            byID[Int(id)] = Int32(truncatingIfNeeded: tokens.count)
            tokens.append(try AddedToken(item, content: content, id: id))
        }
        self.tokens = tokens
        indexByContent = contents
        indexByID = byID
        // Where two tokens are written alike after normalization, the special one comes first.
        let ordered = tokens.filter(\.special) + tokens.filter { !$0.special }
        rawFinder = AddedTokenFinder(
            ordered.filter { !$0.normalized }.map { (text: $0.content, token: $0) })
        var patterns: [(text: [UInt8], token: AddedToken)] = []
        let state = try MatchState()
        for token in ordered where token.normalized {
            var text = token.content
            try normalizer?.normalize(&text, state: state)
            if text.isEmpty {
                throw TokenizerError(
                    .unsupported,
                    "nothing remains of the added token "
                        + "'\(String(decoding: token.content, as: UTF8.self))' when normalized")
            }
            patterns.append((text, token))
        }
        normalizedFinder = AddedTokenFinder(patterns)
    }

    /// The token with an id, or nil.
    func token(for id: Int32) -> AddedToken? { index(for: id).map { tokens[$0] } }

    /// The place in `tokens` of the token with an id, or nil.
    func index(for id: Int32) -> Int? {
        guard id >= 0, Int(id) < indexByID.count, indexByID[Int(id)] >= 0 else { return nil }
        return Int(indexByID[Int(id)])
    }

    /// The id of a token, or nil.
    func id(of content: String) -> Int32? {
        indexByContent.index(of: content).map { tokens[$0].id }
    }
}

extension AddedToken {
    /// Reads the flags of an added token.
    fileprivate init(
        _ node: TokenizerNode, content: [UInt8], id: Int32
    ) throws(TokenizerError) {
        let special = try node.bool("special", default: false)
        self.init(
            content: content, id: id,
            singleWord: try node.bool("single_word", default: false),
            stripsLeft: try node.bool("lstrip", default: false),
            stripsRight: try node.bool("rstrip", default: false),
            normalized: try node.bool("normalized", default: !special), special: special)
    }
}

/// Finds added tokens in text: the leftmost, and of those the longest.
struct AddedTokenFinder: Sendable {
    /// A stretch of text: an added token, or what lies between two.
    struct Span {
        let start: Int
        let end: Int
        /// The token's id, or nil for ordinary text.
        let id: Int32?
    }

    private let tokens: [AddedToken]
    private let isFirstByte: [Bool]
    /// From node and byte to node.
    private var children: [UInt64: Int32] = [:]
    /// The token that ends at a node, or -1.
    private var endings: [Int32] = [-1]

    /// Whether there is nothing to find.
    var isEmpty: Bool { tokens.isEmpty }

    /// Makes a finder of tokens by their text; the first of equal texts holds.
    init(_ patterns: [(text: [UInt8], token: AddedToken)]) {
        tokens = patterns.map(\.token)
        var first = [Bool](repeating: false, count: 256)
        for (index, pattern) in patterns.enumerated() {
            var node: Int32 = 0
            for (offset, byte) in pattern.text.enumerated() {
                if offset == 0 { first[Int(byte)] = true }
                if let next = children[Self.key(node, byte)] {
                    node = next
                } else {
                    let next = Int32(truncatingIfNeeded: endings.count)
                    endings.append(-1)
                    children[Self.key(node, byte)] = next
                    node = next
                }
            }
            if endings[Int(node)] < 0 { endings[Int(node)] = Int32(truncatingIfNeeded: index) }
        }
        isFirstByte = first
    }

    /// Cuts `text` (valid UTF-8) into added tokens and what lies between.
    func spans(in text: UnsafeBufferPointer<UInt8>) -> [Span] {
        var spans: [Span] = []
        var covered = 0
        var position = 0
        // White space that was looked through already: tokens within it end where it ends.
        var blank = 0..<0
        while position < text.count {
            guard isFirstByte[Int(text[position])], let match = longestMatch(in: text, at: position)
            else {
                position &+= 1
                continue
            }
            var (start, end) = (position, match.end)
            position = match.end
            let token = tokens[match.index]
            if token.singleWord && touchesWord(text, start, end) { continue }
            if token.stripsLeft {
                while start > covered, let last = text.lastScalar(before: start),
                    last.scalar.isWhiteSpace
                {
                    start = last.start
                }
                start = max(start, covered)
            }
            if token.stripsRight {
                if blank.contains(end) {
                    end = blank.upperBound
                } else {
                    while let next = text.firstScalar(at: end), next.scalar.isWhiteSpace {
                        end = next.end
                    }
                    blank = match.end..<end
                }
            }
            if covered < start { spans.append(Span(start: covered, end: start, id: nil)) }
            spans.append(Span(start: start, end: end, id: token.id))
            covered = end
        }
        if covered != text.count { spans.append(Span(start: covered, end: text.count, id: nil)) }
        return spans
    }

    private func longestMatch(
        in text: UnsafeBufferPointer<UInt8>, at start: Int
    ) -> (index: Int, end: Int)? {
        var node: Int32 = 0
        var found: (index: Int, end: Int)?
        var position = start
        while position < text.count, let next = children[Self.key(node, text[position])] {
            node = next
            position &+= 1
            let ending = Int(endings[Int(node)])
            if ending >= 0 { found = (ending, position) }
        }
        return found
    }

    private func touchesWord(_ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        if let last = text.lastScalar(before: start), last.scalar.isWordCharacter { return true }
        if let next = text.firstScalar(at: end), next.scalar.isWordCharacter { return true }
        return false
    }

    private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
        UInt64(truncatingIfNeeded: node) << 8 | UInt64(byte)
    }
}
