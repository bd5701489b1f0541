// SPDX-License-Identifier: Apache-2.0
// The vocabulary of a Unigram model: a list of tokens with their scores.

import EftConfig

extension TokenizerDocument {
    /// Reads `[["token", score], ..]`; the places in the list are the ids.
    /// - Throws: `TokenizerError` (`malformed`) with the place of a faulty token or score.
    static func scored(
        _ scanner: JSONScanner, _ byteCount: Int
    ) throws(TokenizerError) -> (Vocabulary, [Double]) {
        var vocabulary = Vocabulary(capacity: byteCount / 24)
        var scores: [Double] = []
        var scanner = scanner
        try forEachScored(&scanner) { (token, score, _) throws(TokenizerError) in
            if let fault = vocabulary.add(token, id: scores.count) {
                throw TokenizerError(.malformed, "\(fault): '\(excerpt(text(token)))'")
            }
            guard token.count <= GrowthLimit.addedToken else {
                throw TokenizerError(
                    .unsupported,
                    "a token of \(token.count) bytes; at most \(GrowthLimit.addedToken) are read")
            }
            scores.append(score)
        }
        guard !scores.isEmpty else {
            throw scanner.error("the model has no tokens", "model.vocab")
        }
        return (vocabulary, scores)
    }

    /// Edits that give tokens of such a list another text.
    static func listed(
        _ scanner: JSONScanner, _ replacement: (Int32) -> [UInt8]?
    ) throws(TokenizerError) -> [FileAccess.Edit] {
        var scanner = scanner
        var edits: [FileAccess.Edit] = []
        var id: Int32 = 0
        try forEachScored(&scanner) { (_, _, word) throws(TokenizerError) in
            if let text = replacement(id) {
                edits.append(FileAccess.Edit(range: word, text: text))
            }
            id &+= 1
        }
        return edits
    }

    /// Gives `body` each token, its score and where its text stands; errors get file and line.
    private static func forEachScored(
        _ scanner: inout JSONScanner,
        _ body: ([UInt8], Double, Range<Int>) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        _ = scanner.take(UInt8(ascii: "["))
        if scanner.take(UInt8(ascii: "]")) { return }
        var token: [UInt8] = []
        var place = 0
        repeat {
            let index = place
            let path = { "model.vocab[\(index)]" }
            guard scanner.take(UInt8(ascii: "[")) else {
                throw scanner.error("expected a token and its score in a list", path())
            }
            _ = scanner.peek()
            let start = scanner.position
            try scanner.string(into: &token, keyPath: path())
            let word = start..<scanner.position
            guard scanner.take(UInt8(ascii: ",")) else {
                throw scanner.error("a token needs a score", path())
            }
            let score = try scanner.number(keyPath: path())
            guard scanner.take(UInt8(ascii: "]")) else {
                throw scanner.error("expected ']' behind a token and its score", path())
            }
            do { try body(token, score, word) } catch {
                throw scanner.error(error.message, path(), code: error.code)
            }
            place += 1
        } while scanner.take(UInt8(ascii: ","))
        guard scanner.take(UInt8(ascii: "]")) else {
            throw scanner.error("expected ',' or ']' behind a token", "model.vocab[\(place)]")
        }
    }
}
