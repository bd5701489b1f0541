// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.json is made of, for writing it in another format.
import EftConfig

/// The tokens and rules of a tokenizer.json as lists.
package struct TokenizerParts: Sendable {
    /// What a token is.
    package enum Kind: Sendable, Hashable {
        case normal, unknown, control, userDefined, byte
    }

    /// The text and kind of each token, by id; nil where there is none.
    package let tokens: [(text: [UInt8], kind: Kind)?]
    /// Pairs of ids that merge, the first to be merged first, and what they make.
    package let merges: [(left: Int32, right: Int32, id: Int32)]
    /// Whether tokens are GPT-2's letters for bytes, and not plain text.
    package let isByteLevel: Bool
    /// Whether a word that is a token is never built of merges.
    package let ignoresMerges: Bool
    /// Whether texts get a space in front.
    package let prefixesSpace: Bool
    /// Regular expressions, each of which cuts the pieces that the one before it left.
    package let patterns: [String]
    /// Whether the post-processor puts a token at the beginning, and at the end.
    package let addsBOS: Bool
    package let addsEOS: Bool
    /// The ids of special tokens.
    package let bos: Int32?
    package let eos: Int32?
    package let unknown: Int32?
    package let pad: Int32?

    /// Takes the tokenizer of a model folder apart.
    /// - Throws: `TokenizerError`; `unsupported` for rules that other formats have no words for.
    package init(folder: String) throws(TokenizerError) {
        let source = try TokenizerSource(folder: folder)
        if source.characters != nil {
            throw TokenizerError(
                .unsupported, "a table of characters has no place in the file", file: source.file)
        }
        let document = try TokenizerDocument(source.bytes, file: source.file)
        guard document.kind == .bytePairs else {
            throw TokenizerError(
                .unsupported,
                "a tokenizer of the type \(document.kind.rawValue) has no place in the file; only BPE has",
                file: source.file, keyPath: "model.type")
        }
        let root = document.root
        let tokenizer = try Tokenizer(source, document, folder: folder)
        let model = try root.required("model")
        isByteLevel = tokenizer.isByteLevel
        ignoresMerges = try model.bool("ignore_merges", default: false)
        unknown =
            try model.optional("unk_token").map { (node) throws(TokenizerError) in
                tokenizer.id(for: try node.string())
            } ?? nil
        bos = tokenizer.bosID
        eos = tokenizer.eosID
        pad = tokenizer.padID
        let empty = try tokenizer.encode("", addSpecialTokens: true)
        addsBOS = empty.first.map { $0 == tokenizer.bosID } ?? false
        addsEOS = empty.count > (addsBOS ? 1 : 0) && empty.last == tokenizer.eosID
        patterns = try Self.patterns(root.optional("pre_tokenizer"))
        prefixesSpace = try Self.prefixesSpace(tokenizer)
        tokens = Self.tokens(tokenizer, unknown: unknown)
        merges = document.merges.ranked
    }

    private static func tokens(
        _ tokenizer: Tokenizer, unknown: Int32?
    ) -> [(text: [UInt8], kind: Kind)?] {
        let usesBytes = !tokenizer.isByteLevel
        return (0..<Int32(tokenizer.idBound)).map { id in
            guard let text = tokenizer.tokenBytes(for: id) else { return nil }
            if id == unknown { return (text, .unknown) }
            if let added = tokenizer.added.token(for: id) {
                return (text, added.special ? .control : .userDefined)
            }
            let isByte = usesBytes && DecoderRun.fallbackByte(text) != nil
            return (text, isByte ? .byte : .normal)
        }
    }

    /// Whether a text's tokens begin with what stands for a space that the text does not have.
    private static func prefixesSpace(_ tokenizer: Tokenizer) throws(TokenizerError) -> Bool {
        guard !tokenizer.isByteLevel else { return false }
        let first = try tokenizer.encode("a", addSpecialTokens: false).first
        return first.flatMap { tokenizer.tokenBytes(for: $0) }?.starts(with: "\u{2581}".utf8)
            ?? false
    }

    // MARK: Patterns

    /// The regular expressions of a pre-tokenizer.
    private static func patterns(_ node: TokenizerNode?) throws(TokenizerError) -> [String] {
        guard let node else { return [] }
        switch try node.string("type") {
        case "Sequence":
            var all: [String] = []
            for item in try node.required("pretokenizers").elements() {
                all += try patterns(item)
            }
            return all
        case "ByteLevel":
            guard try !node.bool("add_prefix_space", default: true) else {
                throw node.error(
                    .unsupported, "a space before the first word of bytes has no place in the file")
            }
            return try node.bool("use_regex", default: true)
                ? [PreTokenizerStep.gpt2Pattern] : []
        case "Digits":
            return try node.bool("individual_digits", default: false) ? [#"\p{N}"#] : [#"\p{N}+"#]
        case "Metaspace": return []
        case "Split":
            let pattern = try node.required("pattern")
            if let text = try pattern.optional("Regex") { return [try text.string()] }
            // Gemma cuts at spaces that its normalizer has replaced already.
            if try pattern.string("String") == " " { return [] }
            throw pattern.error(.unsupported, "cutting at a fixed text has no place in the file")
        case let type:
            throw node.error(
                .unsupported, "the pre-tokenizer '\(type)' has no place in the file")
        }
    }
}
