// SPDX-License-Identifier: Apache-2.0
// Typed reading of a tokenizer's JSON files, with this module's errors.

import EftConfig

/// A place in a tokenizer's JSON file.
struct TokenizerNode: Sendable {
    /// The place in the document.
    let cursor: ConfigCursor

    /// The path of keys that led here.
    var keyPath: String { cursor.keyPath }

    /// Makes a node at a place.
    init(_ cursor: ConfigCursor) { self.cursor = cursor }

    /// An error at this place.
    func error(_ code: TokenizerError.Code, _ message: String) -> TokenizerError {
        TokenizerError(
            code, message, file: cursor.file, keyPath: cursor.keyPath,
            line: cursor.node.line > 0 ? cursor.node.line : nil)
    }

    /// The content of a JSON file of a folder; nil when there is no such file.
    static func read(_ name: String, in folder: String) throws(TokenizerError) -> TokenizerNode? {
        let path = folder + "/" + name
        guard let bytes = try FileAccess.read(path) else { return nil }
        do {
            return TokenizerNode(ConfigCursor(try JSONParser.parse(bytes, file: path), file: path))
        } catch { throw TokenizerError(error) }
    }

    private func reading<T>(
        _ body: (ConfigCursor) throws(ConfigError) -> T
    ) throws(TokenizerError) -> T {
        do { return try body(cursor) } catch { throw TokenizerError(error) }
    }

    /// The value of `key`, or nil when it is absent or null.
    func optional(_ key: String) throws(TokenizerError) -> TokenizerNode? {
        try reading { (place) throws(ConfigError) in try place.optional(key) }
            .map { TokenizerNode($0) }
    }

    /// The value of `key`, which must be there.
    func required(_ key: String) throws(TokenizerError) -> TokenizerNode {
        TokenizerNode(
            try reading { (place) throws(ConfigError) in try place.required(key) })
    }

    /// The elements of a list.
    func elements() throws(TokenizerError) -> [TokenizerNode] {
        try reading { (place) throws(ConfigError) in try place.elements() }
            .map { TokenizerNode($0) }
    }

    /// The entries of a mapping, those that are null left out.
    func entries() throws(TokenizerError) -> [(key: String, node: TokenizerNode)] {
        try reading { (place) throws(ConfigError) in try place.entries() }
            .map { ($0.key, TokenizerNode($0.cursor)) }
    }

    /// The integer here.
    func int() throws(TokenizerError) -> Int {
        try reading { (place) throws(ConfigError) in try place.int() }
    }

    /// The number here.
    func double() throws(TokenizerError) -> Double {
        try reading { (place) throws(ConfigError) in try place.double() }
    }

    /// The string here.
    func string() throws(TokenizerError) -> String {
        try reading { (place) throws(ConfigError) in try place.string() }
    }

    /// The string at `key`, which must be there.
    func string(_ key: String) throws(TokenizerError) -> String { try required(key).string() }

    /// The truth value at `key`, or `fallback` when absent.
    func bool(_ key: String, default fallback: Bool) throws(TokenizerError) -> Bool {
        try reading { (place) throws(ConfigError) in try place.bool(key, default: fallback) }
    }

    /// The count at `key`, which may not be negative.
    func count(_ key: String) throws(TokenizerError) -> Int {
        let node = try required(key)
        let value = try node.int()
        guard value >= 0 else { throw node.error(.malformed, "\(value) is negative") }
        return value
    }

    /// The one character at `key`.
    func scalar(_ key: String) throws(TokenizerError) -> Unicode.Scalar {
        let node = try required(key)
        let scalars = try node.string().unicodeScalars
        guard let first = scalars.first, scalars.count == 1 else {
            throw node.error(.malformed, "expected a string of one character")
        }
        return first
    }

    /// The token id here: an integer that fits the largest vocabulary this program accepts.
    func tokenID() throws(TokenizerError) -> Int32 {
        let value = try int()
        guard let id = Int32(exactly: value), id >= 0, id <= Vocabulary.maximumID else {
            throw error(
                .malformed, "the token id \(value) is outside 0...\(Vocabulary.maximumID)")
        }
        return id
    }

    /// A token written as a string or as an object with `content`; nil for anything else.
    func tokenContent() throws(TokenizerError) -> String? {
        switch cursor.node.value {
        case .string(let text): return text
        case .object: return try optional("content")?.string()
        default: return nil
        }
    }
}
