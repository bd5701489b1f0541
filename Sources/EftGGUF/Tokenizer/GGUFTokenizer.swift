// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a GGUF file as Hugging Face's documents.
import EftConfig

/// Writes tokenizer.json, tokenizer_config.json and generation_config.json of a GGUF file.
struct GGUFTokenizer {
    private let file: GGUFFile
    private let isSentencePiece: Bool
    private let cutting: PreTokenization

    /// - Throws: `GGUFError` (`unsupported`) for tokenizers of other kinds and ways of cutting words that are not known.
    init(_ file: GGUFFile) throws(GGUFError) {
        self.file = file
        let key = "tokenizer.ggml.model"
        let model = file.metadata[key]?.text ?? ""
        switch model {
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
                "bert": "WordPiece (bert)", "t5": "Unigram (t5)", "rwkv": "RWKV's",
                "none": "none at all", "no_vocab": "none at all",
            ]
            throw file.fault(
                key, "is \(names[model] ?? "'\(model.prefix(100))'"); read are gpt2 and llama",
                .unsupported)
        }
    }

    // MARK: Special tokens

    /// The id of a special token, where the file has one.
    private func special(_ name: String, _ usual: Int?) -> Int? {
        let id = file.metadata["tokenizer.ggml.\(name)_token_id"]?.whole
        return id ?? (isSentencePiece ? usual : nil)
    }

    private var bos: Int? { special("bos", 1) }
    private var eos: Int? { special("eos", 2) }
    private var unknown: Int? { special("unknown", 0) }
    private var pad: Int? { special("padding", nil) }

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
        var writer = DocumentWriter()
        writer.text("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[")
        var isFirst = true
        for id in 0..<tokens.count where isAdded(tokens.kinds[id]) && !tokens.isRepeated[id] {
            guard !tokens[id].isEmpty else { continue }
            if !isFirst { writer.text(",") }
            isFirst = false
            writer.text("\n{\"id\":\(id),\"content\":")
            writer.string(tokens[id])
            let isSpecial = tokens.kinds[id] != .userDefined
            writer.text(
                ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":\(isSpecial)}"
            )
        }
        writer.text("],\"normalizer\":")
        writer.node(normalizer)
        writer.text(",\"pre_tokenizer\":")
        writer.node(isSentencePiece ? ConfigNode(.null) : cutting.node)
        writer.text(",\"post_processor\":")
        writer.node(postProcessor(tokens))
        writer.text(",\"decoder\":")
        writer.node(decoder)
        writer.text(",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":")
        if let unknown, cutting.isPlain, unknown >= 0, unknown < tokens.count {
            writer.string(tokens[unknown])
        } else {
            writer.text("null")
        }
        writer.text(
            ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":\(cutting.isPlain),\"byte_fallback\":\(cutting.isPlain),\"ignore_merges\":\(cutting.ignoresMerges),\"vocab\":{"
        )
        isFirst = true
        for id in 0..<tokens.count where !tokens.isRepeated[id] {
            writer.text(isFirst ? "\n" : ",\n")
            isFirst = false
            writer.string(tokens[id])
            writer.text(":\(id)")
        }
        writer.text("},\"merges\":[")
        if isSentencePiece {
            try writeMerges(ofScores: tokens, &writer)
        } else {
            try writeMerges(&writer)
        }
        writer.text("]}}\n")
        return writer.bytes
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

    private func object(_ type: String, _ entries: [(String, ConfigNode)] = []) -> ConfigNode {
        var object = ConfigObject()
        object["type"] = ConfigNode(.string(type))
        for (key, value) in entries { object[key] = value }
        return ConfigNode(.object(object))
    }

    private func replace(_ text: String, with content: String) -> ConfigNode {
        var pattern = ConfigObject()
        pattern["String"] = ConfigNode(.string(text))
        return object(
            "Replace",
            [
                ("pattern", ConfigNode(.object(pattern))),
                ("content", ConfigNode(.string(content))),
            ])
    }

    /// Whether texts get a space in front.
    private var prefixesSpace: Bool {
        isSentencePiece && adds("space_prefix", true)
    }

    private var normalizer: ConfigNode {
        guard cutting.isPlain else { return ConfigNode(.null) }
        let spaces = replace(" ", with: "\u{2581}")
        guard prefixesSpace else { return spaces }
        let prefix = object("Prepend", [("prepend", ConfigNode(.string("\u{2581}")))])
        return object("Sequence", [("normalizers", ConfigNode(.array([prefix, spaces])))])
    }

    private var decoder: ConfigNode {
        guard cutting.isPlain else {
            return object(
                "ByteLevel",
                [
                    ("add_prefix_space", ConfigNode(.bool(true))),
                    ("trim_offsets", ConfigNode(.bool(true))),
                    ("use_regex", ConfigNode(.bool(true))),
                ])
        }
        var steps = [
            replace("\u{2581}", with: " "), object("ByteFallback"), object("Fuse"),
        ]
        if prefixesSpace {
            steps.append(
                object(
                    "Strip",
                    [
                        ("content", ConfigNode(.string(" "))), ("start", ConfigNode(.integer(1))),
                        ("stop", ConfigNode(.integer(0))),
                    ]))
        }
        return object("Sequence", [("decoders", ConfigNode(.array(steps)))])
    }

    private func postProcessor(_ tokens: TokenList) -> ConfigNode {
        func sequence(_ name: String, _ type: Int) -> ConfigNode {
            entry("Sequence", name, type)
        }
        func entry(_ kind: String, _ id: String, _ type: Int) -> ConfigNode {
            var (outer, inner) = (ConfigObject(), ConfigObject())
            inner["id"] = ConfigNode(.string(id))
            inner["type_id"] = ConfigNode(.integer(type))
            outer[kind] = ConfigNode(.object(inner))
            return ConfigNode(.object(outer))
        }
        var specials = ConfigObject()
        func token(_ id: Int?) -> String? {
            guard let id, id >= 0, id < tokens.count else { return nil }
            let text = tokens.text(id)
            var special = ConfigObject()
            special["id"] = ConfigNode(.string(text))
            special["ids"] = ConfigNode(.array([ConfigNode(.integer(id))]))
            special["tokens"] = ConfigNode(.array([ConfigNode(.string(text))]))
            specials[text] = ConfigNode(.object(special))
            return text
        }
        let first = adds("bos_token", cutting.addsBOS) ? token(bos) : nil
        let last = adds("eos_token", false) ? token(eos) : nil
        func one(_ name: String, _ type: Int) -> [ConfigNode] {
            [
                first.map { entry("SpecialToken", $0, type) }, sequence(name, type),
                last.map { entry("SpecialToken", $0, type) },
            ].compactMap { $0 }
        }
        return object(
            "TemplateProcessing",
            [
                ("single", ConfigNode(.array(one("A", 0)))),
                ("pair", ConfigNode(.array(one("A", 0) + one("B", 1)))),
                ("special_tokens", ConfigNode(.object(specials))),
            ])
    }

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

    /// Merges as SentencePiece's scores imply them: of every two tokens that make a third, best third first.
    private func writeMerges(
        ofScores tokens: TokenList, _ writer: inout DocumentWriter
    ) throws(GGUFError) {
        let key = "tokenizer.ggml.scores"
        guard let scores = try file.numbers(key), scores.count == tokens.count else {
            throw file.fault(key, "does not have a number for each of \(tokens.count) tokens")
        }
        guard scores.allSatisfy({ !$0.isNaN }) else {
            throw file.fault(key, "holds what is no number")
        }
        var merges: [ScoredMerge] = []
        for id in 0..<tokens.count where !tokens.isRepeated[id] {
            switch tokens.kinds[id] {
            case .normal, .userDefined, .unused: break
            case .unknown, .control, .byte: continue
            }
            let first = merges.count
            tokens.forEachSplit(id) { left, right in
                let lengths = (
                    Self.characters(tokens[left]), Self.characters(tokens[right])
                )
                // Runs of spaces come before all else, shorter ones and those of shorter parts first.
                let isSpaces = tokens.isSpaces[id]
                merges.append(
                    ScoredMerge(
                        left: Int32(left), right: Int32(right),
                        score: isSpaces ? .greatestFiniteMagnitude : scores[id],
                        run: isSpaces ? Int32(lengths.0 + lengths.1) : 0,
                        leftLength: isSpaces ? -lengths.0 : lengths.0,
                        rightLength: isSpaces ? -lengths.1 : lengths.1, place: 0))
            }
            merges[first...].sort { ($0.left, $0.right) < ($1.left, $1.right) }
            for index in first..<merges.count { merges[index].place = Int32(index) }
        }
        merges.sort(by: ScoredMerge.comesFirst)
        for (place, merge) in merges.enumerated() {
            writer.text(place == 0 ? "\n[" : ",\n[")
            writer.string(tokens[Int(merge.left)])
            writer.text(",")
            writer.string(tokens[Int(merge.right)])
            writer.text("]")
        }
    }

    private static func characters(_ bytes: ArraySlice<UInt8>) -> Int32 {
        bytes.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }
}

/// Two tokens that make a third.
private struct ScoredMerge {
    let left, right: Int32
    /// The score of the third.
    let score: Double
    /// Characters of a run of spaces; 0 for anything else.
    let run: Int32
    let leftLength, rightLength: Int32
    /// Its place among all.
    var place: Int32

    /// Of merges with one score, those of longer tokens come first; else they stay in their order.
    static func comesFirst(_ one: ScoredMerge, _ other: ScoredMerge) -> Bool {
        if one.score != other.score { return one.score > other.score }
        if one.run != other.run { return one.run < other.run }
        if one.leftLength != other.leftLength { return one.leftLength > other.leftLength }
        if one.rightLength != other.rightLength { return one.rightLength > other.rightLength }
        return one.place < other.place
    }
}
