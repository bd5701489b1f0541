// SPDX-License-Identifier: Apache-2.0
// Unigram models: the tokens of a word whose scores have the largest sum.

/// The model of a tokenizer.json of the type Unigram (Kudo, "Subword Regularization", 2018), with the sums and the order of
/// comparisons of the `tokenizers` library, so that ties end alike.
final class UnigramModel: TokenModel {
    /// What a character without a token costs more than the worst token.
    private static let unknownPenalty = 10.0

    private let vocabulary: Vocabulary
    private let scores: [Double]
    private let trie: TokenTrie
    /// The token of what is not known.
    private let unknown: Int32?
    /// The score of a character without a token.
    private let unknownScore: Double
    /// Tokens of bytes, where unknown characters become those.
    private let bytes: FallbackBytes?
    /// Whether words are raw bytes, each of which stands for a character of the byte-level alphabet.
    private let isByteLevel: Bool

    /// Makes the model of a document.
    /// - Parameter isByteLevel: whether the words come as raw bytes from a ByteLevel pre-tokenizer.
    /// - Throws: `TokenizerError` for an unknown token that does not exist.
    init(_ document: TokenizerDocument, isByteLevel: Bool) throws(TokenizerError) {
        let node = try document.root.required("model")
        vocabulary = document.vocabulary
        scores = document.scores
        self.isByteLevel = isByteLevel
        trie = TokenTrie(document.vocabulary)
        unknownScore = (document.scores.min() ?? 0) - Self.unknownPenalty
        if let place = try node.optional("unk_id") {
            let id = try place.tokenID()
            guard Int(id) < document.scores.count else {
                throw place.error(
                    .malformed,
                    "the unknown token \(id) is none of the \(document.scores.count) tokens of model.vocab"
                )
            }
            unknown = id
        } else {
            unknown = nil
        }
        bytes =
            try node.bool("byte_fallback", default: false)
            ? FallbackBytes(document.vocabulary) : nil
    }

    func encode(
        _ word: UnsafeBufferPointer<UInt8>, scratch: inout WordScratch, into ids: inout [Int32]
    ) throws(TokenizerError) {
        guard isByteLevel else { return try encode(word, &scratch.paths, into: &ids) }
        var characters: [UInt8] = []
        ByteLevelAlphabet.encode(word, into: &characters)
        try characters.withUnsafeBufferPointer { (text) throws(TokenizerError) in
            try encode(text, &scratch.paths, into: &ids)
        }
    }

    private func encode(
        _ text: UnsafeBufferPointer<UInt8>, _ scratch: inout PathScratch, into ids: inout [Int32]
    ) throws(TokenizerError) {
        guard text.count < Int32.max else {
            throw TokenizerError(.text, "a word of \(text.count) bytes is too long")
        }
        try findPath(text, &scratch)
        scratch.collectPieces(end: text.count, unknown: unknown)
        for piece in scratch.pieces.reversed() {
            let part = UnsafeBufferPointer(rebasing: text[piece.start..<piece.end])
            // Several unknown characters are one piece, which may spell a token after all.
            if let id = piece.id != unknown ? piece.id : vocabulary.id(of: part) {
                ids.append(id)
            } else if let bytes, bytes.has(part) {
                for byte in part { ids.append(bytes[byte]) }
            } else {
                ids.append(piece.id)
            }
        }
    }

    /// Finds, for each place in the text (valid UTF-8), the best way to it (Viterbi).
    private func findPath(
        _ text: UnsafeBufferPointer<UInt8>, _ scratch: inout PathScratch
    ) throws(TokenizerError) {
        scratch.begin(text.count)
        var position = 0
        while position < text.count {
            let here = scratch.score(at: position)
            let next = min(position &+ utf8Length(text[position]), text.count)
            var isKnown = false
            trie.forEachPrefix(of: text, at: position) { id, end in
                scratch.offer(
                    id, from: position, to: end, score: scores[Int(id)] + here)
                if end == next { isKnown = true }
            }
            if !isKnown {
                guard let unknown else {
                    let character = text[position..<next]
                    throw TokenizerError(
                        .text,
                        "'\(String(decoding: character, as: UTF8.self))' is not in the vocabulary, and "
                            + "there is no unknown token (model.unk_id)")
                }
                scratch.offer(unknown, from: position, to: next, score: unknownScore + here)
            }
            position = next
        }
    }
}

/// The best ways through a word.
struct PathScratch: Sendable {
    private struct Place {
        /// The sum of scores of the best way here.
        var score = 0.0
        /// Where the last token of that way begins, or -1 where there is none yet.
        var start: Int32 = -1
        /// The last token.
        var id: Int32 = 0
    }

    /// A token of the best way, or unknown characters side by side.
    struct Piece {
        var start: Int
        var end: Int
        var id: Int32
    }

    private var places: [Place] = []
    /// The pieces, the last one first.
    private(set) var pieces: [Piece] = []

    /// Forgets the last word and makes room for one of so many bytes.
    mutating func begin(_ count: Int) {
        places.removeAll(keepingCapacity: true)
        places.append(contentsOf: repeatElement(Place(), count: count &+ 1))
    }

    /// The sum of scores of the best way to a place.
    func score(at place: Int) -> Double { places[place].score }

    /// Takes a token as the last of the way to its end if that is better than what was known.
    @inline(__always)
    mutating func offer(_ id: Int32, from start: Int, to end: Int, score: Double) {
        guard places[end].start < 0 || score > places[end].score else { return }
        places[end] = Place(score: score, start: Int32(truncatingIfNeeded: start), id: id)
    }

    /// Follows the best way back from the end of the word.
    mutating func collectPieces(end: Int, unknown: Int32?) {
        pieces.removeAll(keepingCapacity: true)
        var end = end
        while end > 0, places[end].start >= 0 {
            let place = places[end]
            let start = Int(place.start)
            if place.id == unknown, let last = pieces.indices.last, pieces[last].id == unknown {
                pieces[last].start = start
            } else {
                pieces.append(Piece(start: start, end: end, id: place.id))
            }
            end = start
        }
    }
}
