// SPDX-License-Identifier: Apache-2.0
// Mistral's tekken.json.
import EftConfig
import EftGGUF

/// The content of a tekken.json: special tokens, whose ids come first, and tokens of bytes by rank.
struct TekkenFile {
    /// Special tokens of files that list none.
    private static let early = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
        "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
        "[TOOL_CONTENT]",
    ]
    /// The versions that are known, and whether files of it may leave out the special tokens.
    private static let versions = [
        "v1": true, "v2": true, "v3": true, "v7": true, "v11": false, "v13": false, "v15": false,
    ]
    /// The most special tokens.
    private static let mostSpecial = 1 << 16

    private var tokens: [[UInt8]] = []
    private var special: [(text: String, isControl: Bool)] = []
    private var pattern = ""
    private let file: String

    /// Reads a file.
    /// - Throws: `TokenizerError`.
    init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
        self.file = file
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw TokenizerError(.malformed, "the file is not valid UTF-8", file: file)
        }
        var parts: [String: Range<Int>] = [:]
        try bytes.withUnsafeBufferPointer { (buffer) throws(TokenizerError) in
            parts = try readTokens(buffer)
        }
        func part(_ name: String) throws(TokenizerError) -> TokenizerNode? {
            guard let range = parts[name] else { return nil }
            do {
                let node = try JSONParser.parse(Array(bytes[range]), file: file)
                if case .null = node.value { return nil }
                return TokenizerNode(ConfigCursor(node, file: file))
            } catch { throw TokenizerError(error) }
        }
        guard let config = try part("config") else {
            throw TokenizerError(.malformed, "the key 'config' is missing", file: file)
        }
        try readSettings(config, special: part("special_tokens"))
    }

    // MARK: Reading

    /// Reads the list of tokens.
    /// - Returns: where the other values stand, by key.
    private mutating func readTokens(
        _ bytes: UnsafeBufferPointer<UInt8>
    ) throws(TokenizerError) -> [String: Range<Int>] {
        var scanner = JSONScanner(bytes, range: 0..<bytes.count, file: file)
        var parts: [String: Range<Int>] = [:]
        var tokens: [[UInt8]] = []
        var failure: TokenizerError?
        let isWhole = TokenizerDocument.forEachKey(&scanner) { key, scanner in
            if key == Array("vocab".utf8), tokens.isEmpty {
                do throws(TokenizerError) { tokens = try Self.tokens(&scanner) } catch {
                    failure = error
                    return false
                }
                return true
            }
            _ = scanner.peek()
            let start = scanner.position
            guard scanner.skipValue() else { return false }
            parts[String(decoding: key, as: UTF8.self)] = start..<scanner.position
            return true
        }
        if let failure { throw failure }
        guard isWhole else {
            throw TokenizerError(.malformed, "the file is no whole JSON object", file: file)
        }
        self.tokens = tokens
        return parts
    }

    private static func tokens(
        _ scanner: inout JSONScanner
    ) throws(TokenizerError) -> [[UInt8]] {
        var tokens: [[UInt8]] = []
        guard scanner.take(UInt8(ascii: "[")) else {
            throw scanner.error("expected a list of tokens", "vocab")
        }
        if scanner.take(UInt8(ascii: "]")) { return tokens }
        repeat {
            tokens.append(try token(&scanner, place: tokens.count))
        } while scanner.take(
            UInt8(ascii: ","))
        guard scanner.take(UInt8(ascii: "]")) else {
            throw scanner.error("expected ',' or ']' after a token", "vocab[\(tokens.count)]")
        }
        return tokens
    }

    /// Reads one token, whose rank is its place.
    private static func token(
        _ scanner: inout JSONScanner, place: Int
    ) throws(TokenizerError) -> [UInt8] {
        var bytes: [UInt8]?
        var rank: Int?
        var failure: TokenizerError?
        var text: [UInt8] = []
        TokenizerDocument.forEachKey(&scanner) { key, scanner in
            do throws(TokenizerError) {
                if key == Array("rank".utf8) {
                    rank = try scanner.integer(keyPath: "vocab[\(place)].rank")
                    return true
                }
                guard key == Array("token_bytes".utf8) else { return scanner.skipValue() }
                try scanner.string(into: &text, keyPath: "vocab[\(place)].token_bytes")
                bytes = Base64.bytes(text)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        guard rank == place else {
            throw scanner.error(
                "expected the rank \(place), found \(rank.map(String.init) ?? "none")",
                "vocab[\(place)]")
        }
        guard let bytes else {
            throw scanner.error("expected the token's bytes in base64", "vocab[\(place)]")
        }
        return bytes
    }

    private mutating func readSettings(
        _ config: TokenizerNode, special list: TokenizerNode?
    ) throws(TokenizerError) {
        pattern = try config.string("pattern")
        let version = try config.string("version")
        guard let mayLackSpecial = Self.versions[version] else {
            throw TokenizerError(
                .unsupported,
                "the version '\(excerpt(version))' of tekken.json is not known; known are v1 to v15",
                file: file, keyPath: "config.version")
        }
        let size = try config.count("default_vocab_size")
        let specials = try config.count("default_num_special_tokens")
        guard specials <= Self.mostSpecial, size >= specials, size - specials <= tokens.count else {
            throw TokenizerError(
                .malformed,
                "\(size) tokens, \(specials) of them special, cannot be: the file lists \(tokens.count)",
                file: file, keyPath: "config.default_vocab_size")
        }
        tokens.removeLast(tokens.count - (size - specials))
        if let list {
            try readSpecial(list)
        } else {
            guard mayLackSpecial else {
                throw TokenizerError(
                    .malformed, "the key 'special_tokens' is missing", file: file)
            }
            special = Self.early.map { ($0, true) }
        }
        guard special.count <= specials else {
            throw TokenizerError(
                .malformed, "\(special.count) special tokens where \(specials) have room",
                file: file, keyPath: "special_tokens")
        }
        for id in special.count..<specials { special.append(("<SPECIAL_\(id)>", true)) }
    }

    private mutating func readSpecial(_ list: TokenizerNode) throws(TokenizerError) {
        var places: [Int: (text: String, isControl: Bool)] = [:]
        let items = try list.elements()
        for item in items {
            let rank = try item.count("rank")
            let token = (try item.string("token_str"), try item.bool("is_control", default: true))
            guard rank < items.count, !token.0.isEmpty,
                places.updateValue(token, forKey: rank) == nil
            else {
                throw item.error(
                    .malformed,
                    "the rank \(rank) is there twice or not below \(items.count), or the token is empty"
                )
            }
        }
        special = (0..<items.count).compactMap { places[$0] }
    }

    // MARK: Writing

    /// The tokenizer, with the settings of the files beside it.
    /// - Throws: `TokenizerError`.
    func source(folder: String) throws(TokenizerError) -> TokenizerSource {
        var ranked = RankedTokens(special: special.map(\.text), file: file)
        for token in tokens { try ranked.append(token) }
        var sketch = try ranked.sketch(patterns: [pattern])
        for (id, token) in special.enumerated() {
            sketch.added.append(
                TokenizerSketch.Added(
                    id: id, content: Array(token.text.utf8)[...], isSpecial: token.isControl))
        }
        let settings = try FolderTokens(folder: folder)
        try settings.apply(to: &sketch)
        func usual(_ text: String) -> String? { special.contains { $0.text == text } ? text : nil }
        let names = TokenizerSource.Special(
            bos: usual("<s>"), eos: usual("</s>"), pad: usual("<pad>"))
        let framed = settings.frame(&sketch, usual: names, addsBOS: true)
        return TokenizerSource(
            bytes: sketch.rankedDocument(), file: file, isDocument: false, special: framed)
    }
}
