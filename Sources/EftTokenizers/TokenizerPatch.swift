// SPDX-License-Identifier: Apache-2.0
// Tokens that are put into a tokenizer, or take another's place, without rewriting the rest of its files.
import EftConfig

/// What is to be changed in a tokenizer, as transformers' `add_tokens` and Axolotl's `added_tokens_overrides` do.
package struct TokenizerChange: Sendable, Hashable {
    /// A token to add.
    package struct NewToken: Sendable, Hashable {
        /// The text.
        package var content: String
        /// Whether decoding can leave it out.
        package var isSpecial: Bool

        /// Names a token.
        package init(_ content: String, isSpecial: Bool) {
            self.content = content
            self.isSpecial = isSpecial
        }
    }

    /// Tokens in the order in which they get ids. Those that the vocabulary has become added tokens and keep their id.
    package var added: [NewToken]
    /// New texts of added tokens, by id.
    package var renamed: [Int32: String]

    /// States a change.
    package init(added: [NewToken] = [], renamed: [Int32: String] = [:]) {
        self.added = added
        self.renamed = renamed
    }

    /// Whether nothing changes.
    package var isEmpty: Bool { added.isEmpty && renamed.isEmpty }
}

/// A changed tokenizer: what it is, and how its files are written.
package struct TokenizerPatch: Sendable {
    /// The tokenizer after the change.
    package let tokenizer: Tokenizer
    /// The folder of the tokenizer before it.
    package let folder: String
    /// The added tokens after the change: id, text, and whether it is special.
    private let entries: [(id: Int32, token: TokenizerChange.NewToken)]
    private let change: TokenizerChange
    /// The bytes of tokenizer.json that are replaced, in ascending order, and what stands there instead.
    private let edits: [FileAccess.Edit]
    /// What the tokenizer was made of, and the changed document of one that had no tokenizer.json.
    private let source: TokenizerSource

    /// Changes a tokenizer.
    /// - Parameter old: the folder's tokenizer, where it is read already.
    /// - Throws: `TokenizerError`; `unsupported` for a new text of a token that is no added one or that is there already.
    package init(
        _ change: TokenizerChange, of old: Tokenizer? = nil, folder: String
    ) throws(TokenizerError) {
        var source = try TokenizerSource(folder: folder)
        let path = source.file
        if source.characters != nil {
            throw TokenizerError(
                .unsupported,
                "tokens cannot be added to a SentencePiece model with a table of characters; save the tokenizer in the fast format",
                file: path)
        }
        let old = if let old { old } else { try Tokenizer(source, folder: folder) }
        var bytes = source.bytes
        let range = try TokenizerPatch.addedTokens(bytes, file: path)
        let list: ConfigNode
        do {
            let text = bytes[range].isEmpty ? Array("[]".utf8) : Array(bytes[range])
            list = try JSONParser.parse(text, file: path)
        } catch { throw TokenizerError(error) }
        var items = try TokenizerPatch.renaming(list, change.renamed, of: old, path)
        for token in change.added {
            items.append(TokenizerPatch.entry(token, id: old.id(for: token.content), items, old))
        }
        let array = JSONWriter.text(ConfigNode(.array(items)), layout: .indented(2))
        var text = Array(array.utf8)
        // A file without the key gets it at the beginning of the object.
        if bytes[range].isEmpty { text = Array("\"added_tokens\": ".utf8) + text + [0x2C] }
        var edits = try TokenizerPatch.words(bytes, change.renamed, file: path)
        edits.append(FileAccess.Edit(range: range, text: text))
        edits.sort { $0.range.lowerBound < $1.range.lowerBound }
        for edit in edits.reversed() { bytes.replaceSubrange(edit.range, with: edit.text) }
        source.bytes = bytes
        tokenizer = try Tokenizer(source, folder: folder)
        if source.isDocument { source.bytes = [] }
        self.source = source
        self.edits = source.isDocument ? edits : []
        var entries: [(Int32, TokenizerChange.NewToken)] = []
        for token in change.added {
            guard let id = tokenizer.id(for: token.content) else { continue }
            entries.append((id, token))
        }
        for (id, content) in change.renamed.sorted(by: { $0.key < $1.key }) {
            guard tokenizer.token(for: id) == content else {
                throw TokenizerError(
                    .unsupported,
                    "the token \(id) cannot be called '\(excerpt(content))': the file gives that text another id",
                    file: path)
            }
            entries.append((id, TokenizerChange.NewToken(content, isSpecial: true)))
        }
        self.entries = entries
        self.change = change
        self.folder = folder
    }

    // MARK: tokenizer.json

    /// Where the list of added tokens stands; an empty place behind the first brace when there is none.
    private static func addedTokens(
        _ bytes: [UInt8], file: String
    ) throws(TokenizerError) -> Range<Int> {
        var found: Range<Int>?
        var start: Int?
        bytes.withUnsafeBufferPointer { buffer in
            var scanner = JSONScanner(buffer, range: 0..<buffer.count, file: file)
            _ = scanner.peek()
            start = scanner.position + 1
            TokenizerDocument.forEachKey(&scanner) { key, scanner in
                _ = scanner.peek()
                let first = scanner.position
                guard scanner.skipValue() else { return false }
                if key == Array("added_tokens".utf8) { found = first..<scanner.position }
                return true
            }
        }
        if let found { return found }
        guard let start, start <= bytes.count else {
            throw TokenizerError(.malformed, "expected an object", file: file)
        }
        return start..<start
    }

    /// Edits of the model's own vocabulary for tokens that stand there too.
    private static func words(
        _ bytes: [UInt8], _ renamed: [Int32: String], file: String
    ) throws(TokenizerError) -> [FileAccess.Edit] {
        guard !renamed.isEmpty else { return [] }
        var edits: [FileAccess.Edit] = []
        var failure: TokenizerError?
        bytes.withUnsafeBufferPointer { buffer in
            do throws(TokenizerError) {
                edits = try TokenizerDocument.words(buffer, file: file) { id in
                    renamed[id].map {
                        Array(JSONWriter.text(ConfigNode(.string($0)), layout: .compact).utf8)
                    }
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return edits
    }

    private static func renaming(
        _ list: ConfigNode, _ renamed: [Int32: String], of tokenizer: Tokenizer, _ file: String
    ) throws(TokenizerError) -> [ConfigNode] {
        guard case .array(var items) = list.value else {
            if case .null = list.value { return [] }
            throw TokenizerError(
                .malformed, "expected a list", file: file, keyPath: "added_tokens")
        }
        for (id, content) in renamed.sorted(by: { $0.key < $1.key }) {
            if let other = tokenizer.id(for: content), other != id {
                throw TokenizerError(
                    .unsupported,
                    "the token '\(excerpt(content))' is there already, with the id \(other)",
                    file: file)
            }
            let place = items.firstIndex { item in
                guard case .object(let object) = item.value else { return false }
                return object["id"]?.value == .integer(Int(id))
            }
            guard let place, case .object(var object) = items[place].value else {
                throw TokenizerError(
                    .unsupported, "there is no added token \(id) whose text could be replaced",
                    file: file)
            }
            object["content"] = ConfigNode(.string(content))
            items[place] = ConfigNode(.object(object))
        }
        return items
    }

    private static func entry(
        _ token: TokenizerChange.NewToken, id: Int32?, _ items: [ConfigNode], _ old: Tokenizer
    ) -> ConfigNode {
        let claimed = items.compactMap { item -> Int? in
            guard case .object(let object) = item.value,
                case .integer(let id)? = object["id"]?.value
            else { return nil }
            return id
        }
        let next = max(old.idBound, (claimed.max() ?? -1) + 1)
        return ConfigNode([
            "id": ConfigNode(id.map { Int($0) } ?? next), "content": ConfigNode(token.content),
            "single_word": ConfigNode(false), "lstrip": ConfigNode(false),
            "rstrip": ConfigNode(false), "normalized": ConfigNode(false),
            "special": ConfigNode(token.isSpecial),
        ])
    }

    // MARK: Files

    /// Copies the tokenizer's files with the change made.
    /// - Throws: `TokenizerError` (`unreadable`, `io`, `malformed`).
    package func copy(to destination: String) throws(TokenizerError) {
        try TokenizerFiles.copy(from: folder, to: destination)
        let (name, settings) = ("/tokenizer.json", "/tokenizer_config.json")
        if source.isDocument {
            _ = try FileAccess.copy(folder + name, to: destination + name, replacing: edits)
        } else {
            try FileAccess.write(source.bytes, to: destination + name)
        }
        // What other forms say themselves of special tokens, a tokenizer.json does not.
        let special = [
            ("bos_token", source.special.bos), ("eos_token", source.special.eos),
            ("pad_token", source.special.pad),
        ].compactMap { key, text in text.map { (key, $0) } }
        if !special.isEmpty, try FileAccess.read(destination + settings) == nil {
            try FileAccess.write(Array("{}".utf8), to: destination + settings)
        }
        try rewrite(destination + settings) { object in
            for (key, text) in special where object[key] == nil {
                object[key] = ConfigNode(text)
            }
            guard case .object(var decoder)? = object["added_tokens_decoder"]?.value else { return }
            for (id, token) in entries {
                decoder["\(id)"] = ConfigNode([
                    "content": ConfigNode(token.content), "lstrip": ConfigNode(false),
                    "normalized": ConfigNode(false), "rstrip": ConfigNode(false),
                    "single_word": ConfigNode(false), "special": ConfigNode(token.isSpecial),
                ])
            }
            object["added_tokens_decoder"] = ConfigNode(.object(decoder))
        }
        try rewrite(destination + "/added_tokens.json") { object in
            for (id, token) in entries { object[token.content] = ConfigNode(Int(id)) }
        }
    }

    private func rewrite(
        _ path: String, _ change: (inout ConfigObject) -> Void
    ) throws(TokenizerError) {
        guard let bytes = try FileAccess.read(path) else { return }
        let node: ConfigNode
        do { node = try JSONParser.parse(bytes, file: path) } catch { throw TokenizerError(error) }
        guard case .object(var object) = node.value else {
            throw TokenizerError(.malformed, "expected an object", file: path)
        }
        change(&object)
        let text = JSONWriter.text(ConfigNode(.object(object)), layout: .indented(2)) + "\n"
        try FileAccess.write(Array(text.utf8), to: path)
    }
}
