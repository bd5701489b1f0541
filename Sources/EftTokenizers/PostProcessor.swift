// SPDX-License-Identifier: Apache-2.0
// Special tokens around the ids of a text.

/// The templates of a tokenizer.json's post_processor, applied one after the other.
struct PostProcessor: Sendable {
    private enum Piece: Sendable {
        case text
        case tokens([Int32])
    }

    private let templates: [[Piece]]

    /// Reads a `post_processor`; nil puts nothing around the text.
    /// - Throws: `TokenizerError` (`unsupported`) for any type that is not known.
    init(_ node: TokenizerNode?) throws(TokenizerError) {
        var templates: [[Piece]] = []
        if let node {
            try Self.read(node, into: &templates)
            try Self.checkGrowth(node, templates)
        }
        self.templates = templates
    }

    /// Refuses templates that repeat the text, or add tokens, beyond all use.
    private static func checkGrowth(
        _ node: TokenizerNode, _ templates: [[Piece]]
    ) throws(TokenizerError) {
        try node.requireFew(templates.count, "templates")
        var (texts, tokens) = (1, 0)
        for template in templates {
            var (repeated, added) = (0, 0)
            for piece in template {
                switch piece {
                case .text: repeated += 1
                case .tokens(let ids): added += ids.count
                }
            }
            // Bounded before it is multiplied: neither count is more than the file has bytes.
            guard repeated <= GrowthLimit.repetitions, added <= GrowthLimit.specialTokens else {
                throw tooMuch(node)
            }
            (texts, tokens) = (texts * repeated, tokens * repeated + added)
            guard texts <= GrowthLimit.repetitions, tokens <= GrowthLimit.specialTokens else {
                throw tooMuch(node)
            }
        }
    }

    private static func tooMuch(_ node: TokenizerNode) -> TokenizerError {
        node.error(
            .unsupported,
            "the template repeats the text more than \(GrowthLimit.repetitions) times, or adds more than "
                + "\(GrowthLimit.specialTokens) tokens; no known tokenizer does")
    }

    /// The ids of a text with the special tokens around them, or without.
    func process(_ ids: [Int32], addSpecialTokens: Bool) -> [Int32] {
        var ids = ids
        for template in templates {
            var result: [Int32] = []
            result.reserveCapacity(ids.count + 8)
            for piece in template {
                switch piece {
                case .text: result += ids
                case .tokens(let tokens): if addSpecialTokens { result += tokens }
                }
            }
            ids = result
        }
        return ids
    }

    private static func read(
        _ node: TokenizerNode, into templates: inout [[Piece]]
    ) throws(TokenizerError) {
        let type = try node.string("type")
        switch type {
        // Only offsets are changed by ByteLevel.
        case "ByteLevel": break
        case "Sequence":
            for item in try node.required("processors").elements() {
                try read(item, into: &templates)
            }
        case "BertProcessing", "RobertaProcessing":
            templates.append([
                .tokens([try pairedID(node, "cls")]), .text, .tokens([try pairedID(node, "sep")]),
            ])
        case "TemplateProcessing": templates.append(try template(node))
        default:
            throw node.error(.unsupported, "the post-processor '\(type)' is not supported")
        }
    }

    /// The id in `["token", id]`.
    private static func pairedID(
        _ node: TokenizerNode, _ key: String
    ) throws(TokenizerError) -> Int32 {
        let place = try node.required(key)
        let pair = try place.elements()
        guard pair.count == 2 else {
            throw place.error(.malformed, "expected a token and its id")
        }
        return try pair[1].tokenID()
    }

    private static func template(_ node: TokenizerNode) throws(TokenizerError) -> [Piece] {
        let specials = try node.optional("special_tokens")
        var pieces: [Piece] = []
        for item in try node.required("single").elements() {
            if let sequence = try item.optional("Sequence") {
                let id = try sequence.required("id")
                guard try id.string() == "A" else {
                    throw id.error(.malformed, "the template of a single text can only hold 'A'")
                }
                pieces.append(.text)
                continue
            }
            let name = try item.required("SpecialToken").required("id")
            guard let special = try specials?.optional(try name.string()) else {
                throw name.error(
                    .malformed, "'\(try name.string())' is not among the 'special_tokens'")
            }
            var ids: [Int32] = []
            for id in try special.required("ids").elements() { ids.append(try id.tokenID()) }
            pieces.append(.tokens(ids))
        }
        return pieces
    }
}
