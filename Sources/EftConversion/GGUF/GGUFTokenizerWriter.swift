// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json as the settings of a GGUF file.
import EftGGUF
import EftTokenizers

/// Writes `tokenizer.ggml.*` and the chat template.
enum GGUFTokenizerWriter {
    /// The numbers that stand for kinds of tokens in `tokenizer.ggml.token_type`.
    private static func number(_ kind: TokenizerParts.Kind) -> Int32 {
        switch kind {
        case .normal: 1
        case .unknown: 2
        case .control: 3
        case .userDefined: 4
        case .byte: 6
        }
    }
    /// A row of the embedding without a token.
    private static let unused: Int32 = 5

    /// Adds the tokenizer of a folder.
    /// - Parameter vocabulary: rows of the embedding, each of which needs a token.
    /// - Throws: `TokenizerError`, `ConversionError` (`unsupported`) for a way to cut words that llama.cpp has no name for.
    static func add(
        _ folder: String, vocabulary: Int, to head: inout GGUFHeaderWriter
    ) throws {
        let parts = try TokenizerParts(folder: folder)
        guard parts.tokens.count <= vocabulary else {
            throw ConversionError(
                .mismatch,
                "the tokenizer has \(parts.tokens.count) tokens and the model \(vocabulary) rows for them",
                path: folder)
        }
        head.set("tokenizer.ggml.model", .text(Array((parts.isByteLevel ? "gpt2" : "llama").utf8)))
        try addCutting(parts, folder, to: &head)
        let tokens = (0..<vocabulary).map { id in
            id < parts.tokens.count ? parts.tokens[id] : nil
        }
        head.set(
            "tokenizer.ggml.tokens",
            .texts(tokens.enumerated().map { $1?.text ?? Array("[PAD\($0)]".utf8) }))
        head.set(
            "tokenizer.ggml.token_type",
            .wholes(tokens.map { $0.map { number($0.kind) } ?? unused }))
        if parts.isByteLevel {
            head.set("tokenizer.ggml.merges", .texts(merges(parts)))
        } else {
            head.set("tokenizer.ggml.scores", .reals(scores(parts, count: vocabulary)))
            head.set("tokenizer.ggml.add_space_prefix", .truth(parts.prefixesSpace))
        }
        for (name, id) in [
            ("bos", parts.bos), ("eos", parts.eos), ("unknown", parts.unknown),
            ("padding", parts.pad),
        ] {
            if let id { head.set("tokenizer.ggml.\(name)_token_id", .whole(Int(id))) }
        }
        head.set("tokenizer.ggml.add_bos_token", .truth(parts.addsBOS))
        head.set("tokenizer.ggml.add_eos_token", .truth(parts.addsEOS))
        if let templates = try ChatTemplates.loadIfPresent(folder: folder) {
            head.set("tokenizer.chat_template", .text(Array(templates.source.utf8)))
        }
    }

    private static func addCutting(
        _ parts: TokenizerParts, _ folder: String, to head: inout GGUFHeaderWriter
    ) throws {
        guard parts.isByteLevel else {
            guard parts.patterns.isEmpty else { throw fault(parts, folder) }
            head.set("tokenizer.ggml.pre", .text(Array("default".utf8)))
            return
        }
        guard
            let name = GGUFPreTokenizations.name(
                of: parts.patterns, ignoresMerges: parts.ignoresMerges)
        else { throw fault(parts, folder) }
        head.set("tokenizer.ggml.pre", .text(Array(name.utf8)))
    }

    private static func fault(_ parts: TokenizerParts, _ folder: String) -> ConversionError {
        ConversionError(
            .unsupported,
            "llama.cpp has no name for the way in which this tokenizer cuts words ("
                + parts.patterns.joined(separator: " then ") + ")", path: folder)
    }

    /// Both tokens of each merge, with a space between them.
    private static func merges(_ parts: TokenizerParts) -> [[UInt8]] {
        parts.merges.compactMap { merge in
            guard let left = parts.tokens[Int(merge.left)],
                let right = parts.tokens[Int(merge.right)]
            else { return nil }
            return left.text + [UInt8(ascii: " ")] + right.text
        }
    }

    /// SentencePiece's scores: the sooner a token is made, the higher.
    private static func scores(_ parts: TokenizerParts, count: Int) -> [Float] {
        // What no merge makes is made last.
        var scores = [Float](repeating: -Float(parts.merges.count + 1), count: count)
        for (rank, merge) in parts.merges.enumerated().reversed() where Int(merge.id) < count {
            scores[Int(merge.id)] = -Float(rank)
        }
        for (id, token) in parts.tokens.enumerated() where id < count {
            if let token, token.kind != .normal { scores[id] = 0 }
        }
        return scores
    }
}
