// SPDX-License-Identifier: Apache-2.0
// What the files beside a tokenizer without tokenizer.json say of its tokens.
import EftConfig
import EftGGUF

/// The settings of tokenizer_config.json, special_tokens_map.json and added_tokens.json.
struct FolderTokens {
    /// A special token by its role.
    enum Named {
        /// No file has the key.
        case unsaid
        /// The key is there and says none.
        case nothing
        case text(String)
    }

    /// Tokens with their ids, in ascending order.
    private(set) var listed: [TokenizerSketch.Added] = []
    /// The special tokens by role.
    private(set) var bos = Named.unsaid
    private(set) var eos = Named.unsaid
    private(set) var pad = Named.unsaid
    private(set) var unknown = Named.unsaid
    /// Texts of further special tokens.
    private(set) var additional: [String] = []
    private(set) var addsBOS: Bool?
    private(set) var addsEOS: Bool?
    private(set) var addsPrefixSpace: Bool?
    /// Whether spaces are marked by a normalizer; else by a pre-tokenizer.
    private(set) var isLegacy = true
    /// The class that transformers has for the tokenizer.
    private(set) var className: String?
    /// The type of the model.
    private(set) var modelType: String?
    private let folder: String

    /// Reads a folder's files.
    /// - Throws: `TokenizerError` for faulty ones.
    init(folder: String) throws(TokenizerError) {
        self.folder = folder
        let names = ["tokenizer_config.json", "special_tokens_map.json"]
        for name in names {
            guard let node = try TokenizerNode.read(name, in: folder) else { continue }
            try Self.name(&bos, "bos_token", node)
            try Self.name(&eos, "eos_token", node)
            try Self.name(&pad, "pad_token", node)
            try Self.name(&unknown, "unk_token", node)
            if let list = try node.optional("additional_special_tokens"), additional.isEmpty {
                for item in try list.elements() {
                    if let text = try item.tokenContent() { additional.append(text) }
                }
            }
        }
        if let node = try TokenizerNode.read(names[0], in: folder) {
            addsBOS = try Self.truth(node, "add_bos_token")
            addsEOS = try Self.truth(node, "add_eos_token")
            addsPrefixSpace = try Self.truth(node, "add_prefix_space")
            isLegacy = try Self.truth(node, "legacy") ?? true
            className = try node.optional("tokenizer_class")?.string()
            if let list = try node.optional("added_tokens_decoder") { try read(decoder: list) }
        }
        if listed.isEmpty, let node = try TokenizerNode.read("added_tokens.json", in: folder) {
            try read(added: node)
        }
        let config = try TokenizerNode.read("config.json", in: folder)
        modelType = try config?.optional("model_type")?.string()
        listed.sort { $0.id < $1.id }
    }

    private static func truth(
        _ node: TokenizerNode, _ key: String
    ) throws(TokenizerError) -> Bool? {
        guard try node.optional(key) != nil else { return nil }
        return try node.bool(key, default: false)
    }

    private static func name(
        _ named: inout Named, _ key: String, _ node: TokenizerNode
    ) throws(TokenizerError) {
        guard case .unsaid = named, case .object(let object) = node.cursor.node.value,
            object[key] != nil
        else { return }
        named = try node.optional(key)?.tokenContent().map { .text($0) } ?? .nothing
    }

    private mutating func read(decoder: TokenizerNode) throws(TokenizerError) {
        for (key, node) in try decoder.entries() {
            guard let id = Int(key), id >= 0, id <= Vocabulary.maximumID else {
                throw node.error(.malformed, "'\(excerpt(key))' is not the id of a token")
            }
            let content = Array(try node.string("content").utf8)
            let isSpecial = try node.bool("special", default: false)
            var token = TokenizerSketch.Added(id: id, content: content[...], isSpecial: isSpecial)
            token.singleWord = try node.bool("single_word", default: false)
            token.stripsLeft = try node.bool("lstrip", default: false)
            token.stripsRight = try node.bool("rstrip", default: false)
            token.normalized = try node.bool("normalized", default: !isSpecial)
            listed.append(token)
        }
    }

    private mutating func read(added: TokenizerNode) throws(TokenizerError) {
        let special = Set(roles + additional)
        for (key, node) in try added.entries() {
            let isSpecial = special.contains(key)
            var token = TokenizerSketch.Added(
                id: Int(try node.tokenID()), content: Array(key.utf8)[...], isSpecial: isSpecial)
            token.normalized = !isSpecial
            listed.append(token)
        }
    }

    /// The texts of the tokens that have a role.
    private var roles: [String] {
        [bos, eos, unknown, pad].compactMap { named in
            if case .text(let text) = named { text } else { nil }
        }
    }

    // MARK: Putting them into a tokenizer

    /// Adds the tokens that the files name, as transformers does on loading.
    /// - Throws: `TokenizerError` (`malformed`) where an id is that of another token.
    func apply(to sketch: inout TokenizerSketch) throws(TokenizerError) {
        var places: [[UInt8]: Int] = [:]
        for (place, token) in sketch.added.enumerated() { places[Array(token.content)] = place }
        var ids: [[UInt8]: Int] = [:]
        for token in sketch.further { ids[Array(token.content)] = token.id }
        var taken = Set(ids.values)
        func known(_ content: [UInt8]) -> Int? { sketch.tokens.id(of: content) ?? ids[content] }
        for token in listed where !token.content.isEmpty {
            let content = Array(token.content)
            var token = token
            if let id = known(content) {
                token.id = id
            } else {
                guard token.id >= sketch.tokens.count, taken.insert(token.id).inserted else {
                    throw TokenizerError(
                        .malformed,
                        "the token '\(excerpt(String(decoding: content, as: UTF8.self)))' has the id \(token.id), which is that of another token",
                        file: folder + "/tokenizer_config.json", keyPath: "added_tokens_decoder")
                }
                ids[content] = token.id
                sketch.further.append((token.id, token.content))
            }
            if let place = places[content] {
                sketch.added[place] = token
            } else {
                places[content] = sketch.added.count
                sketch.added.append(token)
            }
        }
        var next = max(sketch.tokens.count, (taken.max() ?? -1) + 1)
        for text in roles + additional where !text.isEmpty {
            let content = Array(text.utf8)
            if let place = places[content] {
                sketch.added[place].isSpecial = true
                continue
            }
            let id = known(content) ?? next
            if id == next {
                sketch.further.append((id, content[...]))
                ids[content] = id
                next += 1
            }
            places[content] = sketch.added.count
            sketch.added.append(
                TokenizerSketch.Added(id: id, content: content[...], isSpecial: true))
        }
    }

    /// The text of a special token: what a file names, else what is usual.
    static func text(_ named: Named, usual: String?) -> String? {
        switch named {
        case .unsaid: usual
        case .nothing: nil
        case .text(let text): text
        }
    }

    /// Puts the first and the last token around texts, and names the special ones.
    /// - Parameters:
    ///   - usual: the special tokens where no file names any.
    ///   - addsBOS: whether texts begin with the first one where no file says so.
    ///   - addsEOS: whether they end with the last one.
    func frame(
        _ sketch: inout TokenizerSketch, usual: TokenizerSource.Special, addsBOS: Bool,
        addsEOS: Bool = false
    ) -> TokenizerSource.Special {
        let special = TokenizerSource.Special(
            bos: Self.text(bos, usual: usual.bos), eos: Self.text(eos, usual: usual.eos),
            pad: Self.text(pad, usual: usual.pad))
        func token(_ text: String?) -> (id: Int, text: String)? {
            guard let text else { return nil }
            let content = Array(text.utf8)
            let id =
                sketch.tokens.id(of: content)
                ?? sketch.further.first { $0.content.elementsEqual(content) }?.id
            return id.map { ($0, text) }
        }
        sketch.setTemplate(
            first: self.addsBOS ?? addsBOS ? token(special.bos) : nil,
            last: self.addsEOS ?? addsEOS ? token(special.eos) : nil)
        return special
    }
}
