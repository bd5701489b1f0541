// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json: its vocabulary and merges at once, the rest as a document.

import EftConfig

/// The parts of a tokenizer.json.
struct TokenizerDocument {
    /// Everything but the vocabulary and the merges.
    let root: TokenizerNode
    /// The model's tokens.
    let vocabulary: Vocabulary
    /// What kind of model it is.
    let kind: TokenModelKind
    /// The merges of a model of byte pairs.
    let merges: MergeTable
    /// The score of each token of a Unigram model, by id.
    let scores: [Double]

    /// Reads a document.
    /// - Throws: `TokenizerError` with key path and line.
    init(_ bytes: [UInt8], file: String?) throws(TokenizerError) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw TokenizerError(.malformed, "the file is not valid UTF-8", file: file)
        }
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(TokenizerError) in
            try TokenizerDocument(buffer, file: file)
        }
    }

    private init(_ bytes: UnsafeBufferPointer<UInt8>, file: String?) throws(TokenizerError) {
        let parts = Self.locate(bytes, file: file)
        let rest = Self.withoutParts(bytes, parts)
        let node: ConfigNode
        do { node = try JSONParser.parse(rest, file: file) } catch { throw TokenizerError(error) }
        root = TokenizerNode(ConfigCursor(node, file: file))
        let words = parts.vocabulary
        let isList = words.map { bytes[$0.lowerBound] == UInt8(ascii: "[") } ?? false
        kind = try Self.kind(root, isList: isList)
        guard let words, isList == (kind == .unigram) else {
            throw TokenizerError(
                .malformed,
                kind == .unigram
                    ? "expected a list of tokens with their scores"
                    : "expected a mapping of tokens to ids", file: file, keyPath: "model.vocab")
        }
        if kind == .unigram {
            (vocabulary, scores) = try Self.scored(
                JSONScanner(bytes, range: words, file: file), words.count)
            merges = MergeTable(capacity: 0)
            return
        }
        guard let pairs = parts.merges else {
            throw TokenizerError(
                .malformed, "expected a list of merges", file: file, keyPath: "model.merges")
        }
        vocabulary = try Self.vocabulary(JSONScanner(bytes, range: words, file: file), words.count)
        merges = try Self.merges(JSONScanner(bytes, range: pairs, file: file), vocabulary)
        scores = []
    }

    /// The kind of a model; old files do not name it.
    private static func kind(
        _ root: TokenizerNode, isList: Bool
    ) throws(TokenizerError) -> TokenModelKind {
        let model = try root.required("model")
        guard let type = try model.optional("type") else { return isList ? .unigram : .bytePairs }
        guard let kind = TokenModelKind(rawValue: try type.string()) else {
            throw type.error(
                .unsupported,
                "the tokenizer model '\(try type.string())' is not supported; 'BPE' and 'Unigram' are"
            )
        }
        return kind
    }

    // MARK: Finding the parts

    private struct Parts {
        var vocabulary: Range<Int>?
        var merges: Range<Int>?
    }

    /// Finds `model.vocab` and `model.merges`; where the text is no JSON, what is found so far.
    private static func locate(_ bytes: UnsafeBufferPointer<UInt8>, file: String?) -> Parts {
        var parts = Parts()
        var scanner = JSONScanner(bytes, range: 0..<bytes.count, file: file)
        forEachKey(&scanner) { key, scanner in
            guard key == Array("model".utf8), scanner.peek() == UInt8(ascii: "{") else {
                return scanner.skipValue()
            }
            return forEachKey(&scanner) { key, scanner in
                let first = scanner.peek()
                let start = scanner.position
                guard scanner.skipValue() else { return false }
                let isPart = first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
                if key == Array("vocab".utf8), isPart, parts.vocabulary == nil {
                    parts.vocabulary = start..<scanner.position
                }
                if key == Array("merges".utf8), first == UInt8(ascii: "["), parts.merges == nil {
                    parts.merges = start..<scanner.position
                }
                return true
            }
        }
        return parts
    }

    /// Gives `body` each key of an object, with the scanner before its value.
    @discardableResult
    static func forEachKey(
        _ scanner: inout JSONScanner, _ body: ([UInt8], inout JSONScanner) -> Bool
    ) -> Bool {
        guard scanner.take(UInt8(ascii: "{")) else { return false }
        if scanner.take(UInt8(ascii: "}")) { return true }
        var key: [UInt8] = []
        repeat {
            do { try scanner.string(into: &key, keyPath: "") } catch { return false }
            guard scanner.take(UInt8(ascii: ":")), body(key, &scanner) else { return false }
        } while scanner.take(UInt8(ascii: ","))
        return scanner.take(UInt8(ascii: "}"))
    }

    /// The document with both parts emptied; their line ends stay, so that lines in messages stay right.
    private static func withoutParts(
        _ bytes: UnsafeBufferPointer<UInt8>, _ parts: Parts
    ) -> [UInt8] {
        var rest: [UInt8] = []
        var position = 0
        let ranges = [parts.vocabulary, parts.merges].compactMap { $0 }
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            rest.append(contentsOf: bytes[position..<range.lowerBound])
            rest.append(bytes[range.lowerBound])
            rest.append(contentsOf: bytes[range].lazy.filter { $0 == 0x0A })
            rest.append(bytes[range.upperBound - 1])
            position = range.upperBound
        }
        rest.append(contentsOf: bytes[position...])
        return rest
    }

    // MARK: Editing the vocabulary

    /// Edits that give words of `model.vocab` another text.
    /// - Parameter replacement: the JSON string for the word with an id; nil to leave it.
    static func words(
        _ bytes: UnsafeBufferPointer<UInt8>, file: String?,
        _ replacement: (Int32) -> [UInt8]?
    ) throws(TokenizerError) -> [FileAccess.Edit] {
        guard let range = locate(bytes, file: file).vocabulary else { return [] }
        var scanner = JSONScanner(bytes, range: range, file: file)
        if scanner.peek() == UInt8(ascii: "[") { return try listed(scanner, replacement) }
        var edits: [FileAccess.Edit] = []
        var token: [UInt8] = []
        guard scanner.take(UInt8(ascii: "{")), !scanner.take(UInt8(ascii: "}")) else { return [] }
        repeat {
            _ = scanner.peek()
            let start = scanner.position
            try scanner.string(into: &token, keyPath: "model.vocab")
            let word = start..<scanner.position
            guard scanner.take(UInt8(ascii: ":")) else { return edits }
            let id = try scanner.integer(keyPath: "model.vocab")
            if let id = Int32(exactly: id), let text = replacement(id) {
                edits.append(FileAccess.Edit(range: word, text: text))
            }
        } while scanner.take(UInt8(ascii: ","))
        return edits
    }

    // MARK: Reading the parts

    private static func vocabulary(
        _ scanner: JSONScanner, _ byteCount: Int
    ) throws(TokenizerError) -> Vocabulary {
        var scanner = scanner
        var vocabulary = Vocabulary(capacity: byteCount / 16)
        var token: [UInt8] = []
        let path = "model.vocab"
        _ = scanner.take(UInt8(ascii: "{"))
        if scanner.take(UInt8(ascii: "}")) { return vocabulary }
        repeat {
            try scanner.string(into: &token, keyPath: path)
            guard scanner.take(UInt8(ascii: ":")) else {
                throw scanner.error("expected ':' after a token", path)
            }
            let id = try scanner.integer(keyPath: path + "." + text(token))
            if let fault = vocabulary.add(token, id: id) {
                throw scanner.error(fault, path + "." + text(token))
            }
        } while scanner.take(UInt8(ascii: ","))
        guard scanner.take(UInt8(ascii: "}")) else {
            throw scanner.error("expected ',' or '}' after a token", path)
        }
        return vocabulary
    }

    private static func merges(
        _ scanner: JSONScanner, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> MergeTable {
        var scanner = scanner
        var table = MergeTable(capacity: vocabulary.count)
        _ = scanner.take(UInt8(ascii: "["))
        if scanner.take(UInt8(ascii: "]")) { return table }
        var (left, right): ([UInt8], [UInt8]) = ([], [])
        var (entry, rank) = (0, UInt32(0))
        repeat {
            let place = entry
            let path = { "model.merges[\(place)]" }
            entry += 1
            guard try pair(&scanner, &left, &right, path) else { continue }
            let (first, second) = try (
                id(of: left, vocabulary, scanner, path), id(of: right, vocabulary, scanner, path)
            )
            let merged = try id(of: left + right, vocabulary, scanner, path)
            table.set(first, second, rank: rank, id: merged)
            guard rank < UInt32.max else { throw scanner.error("too many merges", path()) }
            rank += 1
        } while scanner.take(UInt8(ascii: ","))
        guard scanner.take(UInt8(ascii: "]")) else {
            throw scanner.error("expected ',' or ']' after a merge", "model.merges[\(entry)]")
        }
        return table
    }

    /// Reads `"a b"` or `["a", "b"]`; false for the version line of old files.
    private static func pair(
        _ scanner: inout JSONScanner, _ left: inout [UInt8], _ right: inout [UInt8],
        _ path: () -> String
    ) throws(TokenizerError) -> Bool {
        if scanner.take(UInt8(ascii: "[")) {
            try scanner.string(into: &left, keyPath: path())
            guard scanner.take(UInt8(ascii: ",")) else {
                throw scanner.error("a merge needs two tokens", path())
            }
            try scanner.string(into: &right, keyPath: path())
            guard scanner.take(UInt8(ascii: "]")) else {
                throw scanner.error("a merge has two tokens", path())
            }
            return true
        }
        try scanner.string(into: &left, keyPath: path())
        if left.starts(with: "#version".utf8) { return false }
        let halves = left.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard halves.count == 2 else {
            throw scanner.error(
                "the merge '\(text(left))' is not two tokens with one space between", path())
        }
        (left, right) = (Array(halves[0]), Array(halves[1]))
        return true
    }

    private static func id(
        of token: [UInt8], _ vocabulary: Vocabulary, _ scanner: JSONScanner, _ path: () -> String
    ) throws(TokenizerError) -> Int32 {
        guard let id = vocabulary.id(of: token) else {
            throw scanner.error("the token '\(text(token))' is not in model.vocab", path())
        }
        return id
    }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
