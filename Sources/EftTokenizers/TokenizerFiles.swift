// SPDX-License-Identifier: Apache-2.0
// The files of a model folder that make up its tokenizer.

import EftConfig

/// The tokenizer's files in a model folder.
package enum TokenizerFiles {
    /// Files that are tokenizers by themselves, in the order in which they are looked for; tiktoken's come last.
    private static let forms = ["tokenizer.json"] + sentencePieceNames + ["tekken.json"]
    /// The names of SentencePiece's models.
    static let sentencePieceNames = ["tokenizer.model", "spiece.model"]

    /// The names that are looked for, besides those of tiktoken's files.
    package static let names =
        forms + [
            "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
            "chat_template.jinja", "chat_template.json", "generation_config.json", "vocab.json",
            "merges.txt",
        ]

    /// Whether a folder holds a tokenizer, in any of the forms that are read.
    package static func hasTokenizer(_ folder: String) -> Bool {
        FileAccess.names(in: folder).contains { forms.contains($0) || isTiktoken($0) }
    }

    /// The names of tokenizers that are read before the one that is among a folder's names.
    package static func forms(before names: [String]) -> [String] {
        Array(forms.prefix { !names.contains($0) })
    }

    /// Whether a name is that of one of a tokenizer's files.
    package static func isOne(_ name: String) -> Bool {
        names.contains(name) || isTiktoken(name)
    }

    /// Names of tiktoken's files in a folder, sorted.
    static func tiktokenNames(in folder: String) -> [String] {
        FileAccess.names(in: folder).filter(isTiktoken)
    }

    private static func isTiktoken(_ name: String) -> Bool { name.hasSuffix(".tiktoken") }

    /// Copies those of the tokenizer's files that exist; each is written aside and renamed into place.
    /// - Returns: the names of the files copied; none when both folders are the same.
    /// - Throws: `TokenizerError` (`unreadable`, `io`).
    @discardableResult
    package static func copy(
        from source: String, to destination: String
    ) throws(TokenizerError) -> [String] {
        if FileAccess.isSameFolder(source, destination) { return [] }
        var copied: [String] = []
        for name in names + tiktokenNames(in: source) {
            if try FileAccess.copy(source + "/" + name, to: destination + "/" + name) {
                copied.append(name)
            }
        }
        return copied
    }
}

extension Tokenizer {
    /// Reads the tokenizer of a model folder, and the special tokens from the files beside it: tokenizer.json, or else
    /// SentencePiece's tokenizer.model, Mistral's tekken.json, or a file of tiktoken.
    /// - Throws: `TokenizerError` with file, key path and line.
    package static func load(folder: String) throws(TokenizerError) -> Tokenizer {
        try Tokenizer(TokenizerSource(folder: folder), folder: folder)
    }
}

/// The special ids that a model folder names.
struct SpecialTokenIDs: Sendable {
    private(set) var bos: Int32?
    private(set) var eos: Int32?
    private(set) var pad: Int32?
    /// The tokens that end generation.
    private(set) var stops: [Int32] = []

    /// Reads tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json, the first that
    /// names a token deciding; only the last two name ids.
    /// - Parameters:
    ///   - usual: the tokens that the tokenizer's own file names, for those that the first two do not.
    ///   - find: the id of a token by its text.
    /// - Throws: `TokenizerError` for a faulty file or value.
    init(
        folder: String?, usual: TokenizerSource.Special, find: (String) -> Int32?
    ) throws(TokenizerError) {
        guard let folder else { return }
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            guard let node = try TokenizerNode.read(name, in: folder) else { continue }
            if bos == nil { bos = try Self.id(node, "bos_token", find) }
            if eos == nil { eos = try Self.id(node, "eos_token", find) }
            if pad == nil { pad = try Self.id(node, "pad_token", find) }
        }
        bos = bos ?? usual.bos.flatMap(find)
        eos = eos ?? usual.eos.flatMap(find)
        pad = pad ?? usual.pad.flatMap(find)
        for name in ["generation_config.json", "config.json"] {
            guard let node = try TokenizerNode.read(name, in: folder) else { continue }
            if bos == nil { bos = try Self.ids(node, "bos_token_id").first }
            if pad == nil { pad = try Self.ids(node, "pad_token_id").first }
            let ends = try Self.ids(node, "eos_token_id")
            eos = eos ?? ends.first
            if stops.isEmpty && name == "generation_config.json" { stops = ends }
        }
        if stops.isEmpty, let eos { stops = [eos] }
    }

    private static func id(
        _ node: TokenizerNode, _ key: String, _ find: (String) -> Int32?
    ) throws(TokenizerError) -> Int32? {
        try node.optional(key)?.tokenContent().flatMap(find)
    }

    /// One id or a list of ids.
    private static func ids(_ node: TokenizerNode, _ key: String) throws(TokenizerError) -> [Int32]
    {
        guard let place = try node.optional(key) else { return [] }
        guard case .array = place.cursor.node.value else {
            let value = try place.int()
            // Some configurations write -1 for none.
            return value < 0 ? [] : [try place.tokenID()]
        }
        var ids: [Int32] = []
        for item in try place.elements() { ids.append(try item.tokenID()) }
        return ids
    }
}
