// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a GGUF file as Hugging Face's documents.
import EftConfig

/// Writes tokenizer.json, tokenizer_config.json and generation_config.json of a GGUF file.
struct GGUFTokenizer {
    private let file: GGUFFile
    private let isSentencePiece: Bool
    /// Whether the tokens with the best sum of scores are taken, as T5 does, and not merges.
    private let isUnigram: Bool
    private let cutting: PreTokenization

    /// - Throws: `GGUFError` (`unsupported`) for tokenizers of other kinds and ways of cutting words that are not known.
    init(_ file: GGUFFile) throws(GGUFError) {
        self.file = file
        let key = "tokenizer.ggml.model"
        let model = file.metadata[key]?.text ?? ""
        isUnigram = model == "t5"
        switch model {
        case "t5":
            isSentencePiece = true
            cutting = PreTokenization(patterns: [], isPlain: true)
        case "llama":
            isSentencePiece = true
            cutting = PreTokenization(patterns: [], addsBOS: true, isPlain: true)
        case "gpt2":
            isSentencePiece = false
            let name = file.metadata["tokenizer.ggml.pre"]?.text ?? "default"
            guard let found = PreTokenization.named(name) else {
                throw file.fault(
                    "tokenizer.ggml.pre", "is '\(name.prefix(100))', which is not known",
                    .unsupported)
            }
            cutting = found
        default:
            let names = [
                "bert": "WordPiece (bert)", "rwkv": "RWKV's",
                "none": "none at all", "no_vocab": "none at all",
            ]
            throw file.fault(
                key, "is \(names[model] ?? "'\(model.prefix(100))'"); read are gpt2, llama and t5",
                .unsupported)
        }
    }

    // MARK: Special tokens

    /// The id of a special token, where the file has one.
    private func special(_ name: String, _ usual: Int?) -> Int? {
        let id = file.metadata["tokenizer.ggml.\(name)_token_id"]?.whole
        return id ?? (isSentencePiece ? usual : nil)
    }

    private var bos: Int? { special("bos", isUnigram ? nil : 1) }
    private var eos: Int? { special("eos", isUnigram ? 1 : 2) }
    private var unknown: Int? { special("unknown", isUnigram ? 2 : 0) }
    private var pad: Int? { special("padding", isUnigram ? 0 : nil) }

    private func adds(_ name: String, _ usual: Bool) -> Bool {
        file.metadata["tokenizer.ggml.add_\(name)"]?.truth ?? usual
    }

    /// Tokens that end an answer whatever the file says of them.
    private static let ends: Set<String> = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    ]

    /// The tokens that end generation, the file's own first.
    private func stops(_ tokens: TokenList) -> [Int] {
        var ids = [eos, special("eot", nil), special("eom", nil)].compactMap { $0 }
        for id in 0..<tokens.count where tokens.kinds[id] == .control {
            if Self.ends.contains(tokens.text(id)) { ids.append(id) }
        }
        var seen: Set<Int> = []
        return ids.filter { seen.insert($0).inserted }
    }

    /// The content of generation_config.json.
    /// - Throws: `GGUFError`.
    func generation() throws(GGUFError) -> ConfigNode {
        var object = ConfigObject()
        if let bos { object["bos_token_id"] = ConfigNode(.integer(bos)) }
        let stops = stops(try TokenList(file, isPlain: cutting.isPlain)).map {
            ConfigNode(.integer($0))
        }
        if !stops.isEmpty {
            object["eos_token_id"] = stops.count == 1 ? stops[0] : ConfigNode(.array(stops))
        }
        if let pad { object["pad_token_id"] = ConfigNode(.integer(pad)) }
        return ConfigNode(.object(object))
    }

    /// The content of tokenizer_config.json.
    /// - Throws: `GGUFError`.
    func settings() throws(GGUFError) -> ConfigNode {
        let tokens = try TokenList(file, isPlain: cutting.isPlain)
        var object = ConfigObject()
        object["tokenizer_class"] = ConfigNode(.string("PreTrainedTokenizerFast"))
        for (name, id) in [
            ("bos_token", bos), ("eos_token", eos), ("unk_token", unknown), ("pad_token", pad),
        ] {
            guard let id, id >= 0, id < tokens.count else { continue }
            object[name] = ConfigNode(.string(tokens.text(id)))
        }
        object["clean_up_tokenization_spaces"] = ConfigNode(.bool(false))
        let length = file.metadata["general.architecture"]?.text.flatMap {
            file.metadata[$0 + ".context_length"]?.whole
        }
        if let length { object["model_max_length"] = ConfigNode(.integer(length)) }
        return ConfigNode(.object(object))
    }

    // MARK: tokenizer.json

    /// The bytes of tokenizer.json.
    /// - Throws: `GGUFError`.
    func document() throws(GGUFError) -> [UInt8] {
        let tokens = try TokenList(file, isPlain: cutting.isPlain)
        var sketch = TokenizerSketch(tokens)
        for id in 0..<tokens.count where isAdded(tokens.kinds[id]) && !tokens.isRepeated[id] {
            guard !tokens[id].isEmpty else { continue }
            sketch.added.append(
                TokenizerSketch.Added(
                    id: id, content: tokens[id], isSpecial: tokens.kinds[id] != .userDefined))
        }
        let prefixesSpace = isSentencePiece && adds("space_prefix", true)
        if cutting.isPlain {
            sketch.normalizers =
                try characters() + TokenizerSketch.marksSpaces(prefix: prefixesSpace)
            sketch.decoder = TokenizerSketch.plainDecoder(prefixesSpace: prefixesSpace)
            sketch.fallsBackOnBytes = true
            if let unknown, unknown >= 0, unknown < tokens.count {
                sketch.unknown = tokens[unknown]
            }
        }
        if !isSentencePiece { sketch.preTokenizer = cutting.node }
        sketch.ignoresMerges = cutting.ignoresMerges
        sketch.setTemplate(
            first: adds("bos_token", cutting.addsBOS) ? special(bos, tokens) : nil,
            last: adds("eos_token", isUnigram) ? special(eos, tokens) : nil)
        if isUnigram {
            if let twice = tokens.isRepeated.firstIndex(of: true) {
                throw file.fault("tokenizer.ggml.tokens", "has a token twice, at \(twice)")
            }
            sketch.scores = try scores(count: tokens.count)
        }
        return try sketch.document { writer throws(GGUFError) in
            if isSentencePiece {
                let merges = tokens.merges(ofScores: try scores(count: tokens.count))
                writer.merges(merges, of: tokens)
            } else {
                try writeMerges(&writer)
            }
        }
    }

    private func special(_ id: Int?, _ tokens: TokenList) -> (id: Int, text: String)? {
        guard let id, id >= 0, id < tokens.count else { return nil }
        return (id, tokens.text(id))
    }

    /// Whether a token is found in the text before it is cut into words.
    private func isAdded(_ kind: TokenKind) -> Bool {
        switch kind {
        case .control, .userDefined: true
        // The token for what is not known is special in Hugging Face's tokenizers.
        case .unknown: isSentencePiece
        case .normal, .unused, .byte: false
        }
    }

    /// What a Unigram model does to the text before spaces are marked.
    private func characters() throws(GGUFError) -> [ConfigNode] {
        guard isUnigram else { return [] }
        var rules: [ConfigNode] = []
        let key = "tokenizer.ggml.precompiled_charsmap"
        if let numbers = try file.numbers(key, limit: Self.mostCharacters), !numbers.isEmpty {
            var bytes: [UInt8] = []
            for number in numbers {
                // Files have them as numbers with a sign, or without.
                guard number == number.rounded(), (-128...255).contains(number) else {
                    throw file.fault(key, "holds \(number), which is no byte")
                }
                bytes.append(UInt8(truncatingIfNeeded: Int(number)))
            }
            rules.append(
                TokenizerSketch.object(
                    "Precompiled",
                    [("precompiled_charsmap", ConfigNode(.string(Base64Text.text(bytes))))]))
        }
        if file.metadata["tokenizer.ggml.remove_extra_whitespaces"]?.truth ?? false {
            rules += TokenizerSketch.removesSpaces
        }
        return rules
    }

    /// The largest table of characters that is read, in bytes.
    private static let mostCharacters = 1 << 24

    // MARK: Merges

    /// The merges of the file: two tokens with a space between them, which no token begins with.
    private func writeMerges(_ writer: inout DocumentWriter) throws(GGUFError) {
        let key = "tokenizer.ggml.merges"
        var written = DocumentWriter()
        let count = try file.forEachString(key) { index, merge throws(GGUFError) in
            guard let space = merge.dropFirst().firstIndex(of: UInt8(ascii: " ")),
                space + 1 < merge.count
            else { throw file.fault(key, "has no two tokens at \(index)") }
            written.text(index == 0 ? "\n[" : ",\n[")
            written.string(merge[..<space])
            written.text(",")
            written.string(merge[(space + 1)...])
            written.text("]")
        }
        guard count != nil else { throw file.fault(key, "is missing", .missing) }
        writer.append(written)
    }

    /// SentencePiece's scores.
    private func scores(count: Int) throws(GGUFError) -> [Double] {
        let key = "tokenizer.ggml.scores"
        guard let scores = try file.numbers(key), scores.count == count else {
            throw file.fault(key, "does not have a number for each of \(count) tokens")
        }
        guard scores.allSatisfy({ isUnigram ? $0.isFinite : !$0.isNaN }) else {
            throw file.fault(key, "holds what is no number")
        }
        return scores
    }
}
