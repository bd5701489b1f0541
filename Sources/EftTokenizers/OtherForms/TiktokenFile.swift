// SPDX-License-Identifier: Apache-2.0
// Files of tiktoken: a line for each token, its bytes in base64 and its rank.
import EftConfig
import EftGGUF

/// Reads a file of ranks. How text is cut into words stands nowhere in it; it goes by the file's name, the number of
/// tokens, or the type of the model.
enum TiktokenFile {
    /// What belongs to a vocabulary besides its ranks.
    private struct Family {
        let name: String
        /// What names of files contain.
        let fileName: String?
        let count: Int
        let modelTypes: [String]
        /// The name of the way to cut words.
        let cutting: String
        let special: [(offset: Int, text: String)]
        var usual = TokenizerSource.Special()
        var composes = false
        var addsBOS = false
    }

    private static let families = [
        Family(
            name: "Llama 3", fileName: nil, count: 128_000, modelTypes: ["llama", "mllama"],
            cutting: "llama3", special: llama3,
            usual: TokenizerSource.Special(bos: "<|begin_of_text|>", eos: "<|end_of_text|>"),
            addsBOS: true),
        Family(
            name: "Qwen", fileName: "qwen", count: 151_643, modelTypes: ["qwen"], cutting: "qwen2",
            special: numbered(
                ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
                    + (0..<205).map { "<|extra_\($0)|>" }),
            usual: TokenizerSource.Special(eos: "<|endoftext|>"), composes: true),
        Family(
            name: "cl100k", fileName: "cl100k", count: 100_256, modelTypes: [], cutting: "llama3",
            special: [
                (1, "<|endoftext|>"), (2, "<|fim_prefix|>"), (3, "<|fim_middle|>"),
                (4, "<|fim_suffix|>"), (20, "<|endofprompt|>"),
            ], usual: TokenizerSource.Special(eos: "<|endoftext|>")),
        Family(
            name: "o200k", fileName: "o200k", count: 199_998, modelTypes: [], cutting: "gpt-4o",
            special: [(1, "<|endoftext|>"), (20, "<|endofprompt|>")],
            usual: TokenizerSource.Special(eos: "<|endoftext|>")),
    ]

    private static let llama3: [(offset: Int, text: String)] = {
        func reserved(_ range: Range<Int>) -> [String] {
            range.map { "<|reserved_special_token_\($0)|>" }
        }
        return numbered(
            ["<|begin_of_text|>", "<|end_of_text|>"] + reserved(0..<4)
                + ["<|start_header_id|>", "<|end_header_id|>"] + reserved(4..<5) + ["<|eot_id|>"]
                + reserved(5..<251))
    }()

    private static func numbered(_ texts: [String]) -> [(offset: Int, text: String)] {
        texts.enumerated().map { ($0, $1) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"),
            UInt8(ascii: "="):
            true
        default: false
        }
    }

    /// Whether the first line is a token and a rank.
    static func isOne(_ bytes: [UInt8]) -> Bool {
        let letters = bytes.prefix { isLetter($0) }
        let rest = bytes[letters.endIndex...]
        let digits = rest.dropFirst().prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        guard !letters.isEmpty, rest.first == UInt8(ascii: " "), !digits.isEmpty else {
            return false
        }
        let end = digits.endIndex == bytes.endIndex ? UInt8(ascii: "\n") : bytes[digits.endIndex]
        return end == UInt8(ascii: "\n") || end == UInt8(ascii: "\r")
    }

    /// The tokenizer, with the settings of the files beside it.
    /// - Throws: `TokenizerError`; `unsupported` for a vocabulary that is not known.
    static func source(
        _ bytes: [UInt8], file: String, folder: String
    ) throws(TokenizerError) -> TokenizerSource {
        let ranked = try ranks(bytes, file: file)
        let settings = try FolderTokens(folder: folder)
        let family = try family(of: ranked.count, settings, file: file)
        var tokens = RankedTokens(file: file)
        for token in ranked { try tokens.append(token) }
        guard let cutting = PreTokenization.named(family.cutting) else {
            throw TokenizerError(.unsupported, "the words of \(family.name) are not known")
        }
        var sketch = try tokens.sketch(patterns: cutting.patterns)
        if family.composes { sketch.normalizers = [TokenizerSketch.object("NFC")] }
        if settings.listed.isEmpty {
            for (offset, text) in family.special {
                let content = Array(text.utf8)[...]
                sketch.further.append((ranked.count + offset, content))
                sketch.added.append(
                    TokenizerSketch.Added(
                        id: ranked.count + offset, content: content, isSpecial: true))
            }
        }
        try settings.apply(to: &sketch)
        let special = settings.frame(&sketch, usual: family.usual, addsBOS: family.addsBOS)
        return TokenizerSource(
            bytes: sketch.rankedDocument(), file: file, isDocument: false, special: special)
    }

    private static func family(
        of count: Int, _ settings: FolderTokens, file: String
    ) throws(TokenizerError) -> Family {
        let name = file.split(separator: "/").last.map { $0.lowercased() } ?? ""
        let found =
            families.first { $0.fileName.map { name.contains($0) } ?? false }
            ?? families.first { $0.count == count }
            ?? families.first { settings.modelType.map($0.modelTypes.contains) ?? false }
        if let found { return found }
        let known = families.map { "\($0.name) (\($0.count) tokens)" }.joined(separator: ", ")
        throw TokenizerError(
            .unsupported,
            "how words are cut for this vocabulary of \(count) tokens is not known; known are \(known); save the tokenizer in the fast format",
            file: file)
    }

    /// The bytes of all tokens, in the order of their ranks, which leave out none.
    private static func ranks(
        _ bytes: [UInt8], file: String
    ) throws(TokenizerError) -> [[UInt8]] {
        var tokens: [(rank: Int, token: [UInt8])] = []
        var number = 0
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let words = line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }
            if words.isEmpty { continue }
            guard words.count == 2, let token = Base64.bytes(words[0]),
                let rank = Int(String(decoding: words[1], as: UTF8.self)), rank >= 0
            else {
                throw TokenizerError(
                    .malformed, "expected a token in base64 and its rank", file: file, line: number)
            }
            tokens.append((rank, token))
        }
        tokens.sort { $0.rank < $1.rank }
        if let place = tokens.indices.first(where: { tokens[$0].rank != $0 }) {
            let rank = tokens[place].rank
            throw TokenizerError(
                .malformed,
                rank < place ? "the rank \(rank) is there twice" : "the rank \(place) is missing",
                file: file)
        }
        return tokens.map(\.token)
    }
}
