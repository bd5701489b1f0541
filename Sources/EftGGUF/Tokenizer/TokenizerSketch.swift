// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json in the making.
import EftConfig

/// The parts of a tokenizer.json, for tokenizers that other files describe.
package struct TokenizerSketch {
    /// A token that is found in the text before it is cut into words.
    package struct Added {
        /// The id.
        package var id: Int
        /// The text.
        package var content: ArraySlice<UInt8>
        /// Whether decoding can leave it out.
        package var isSpecial: Bool
        /// Whether it matches only where no word character touches it.
        package var singleWord = false
        /// Whether it takes the white space to its left, and to its right.
        package var stripsLeft = false
        package var stripsRight = false
        /// Whether it is matched in the normalized text.
        package var normalized = false

        /// Describes a token that matches anywhere in the raw text.
        package init(id: Int, content: ArraySlice<UInt8>, isSpecial: Bool) {
            self.id = id
            self.content = content
            self.isSpecial = isSpecial
        }
    }

    /// The model's tokens.
    package let tokens: TokenList
    /// Tokens of the vocabulary that no merge knows.
    package var further: [(id: Int, content: ArraySlice<UInt8>)] = []
    /// The added tokens.
    package var added: [Added] = []
    /// The steps of the normalizer.
    package var normalizers: [ConfigNode] = []
    /// The pre-tokenizer.
    package var preTokenizer = ConfigNode(.null)
    /// The decoder; that of bytes where nothing else is said.
    package var decoder = TokenizerSketch.object(
        "ByteLevel",
        [
            ("add_prefix_space", ConfigNode(.bool(true))),
            ("trim_offsets", ConfigNode(.bool(true))),
            ("use_regex", ConfigNode(.bool(true))),
        ])
    /// The token for what is not known.
    package var unknown: ArraySlice<UInt8>?
    /// The score of each token of a Unigram model; nil for one of byte-pair encoding.
    package var scores: [Double]?
    /// Whether characters that are no token become tokens of their bytes.
    package var fallsBackOnBytes = false
    /// Whether a word that is a token is never built of merges.
    package var ignoresMerges = false
    private var postProcessor = ConfigNode(.null)

    /// Begins with the tokens alone.
    package init(_ tokens: TokenList) { self.tokens = tokens }

    // MARK: Writing

    /// The bytes of the document.
    /// - Parameter merges: writes the elements of the list of merges.
    package func document<E>(
        _ merges: (inout DocumentWriter) throws(E) -> Void
    ) throws(E) -> [UInt8] {
        var writer = DocumentWriter()
        writer.text("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[")
        for (place, token) in added.enumerated() {
            writer.text("\(place == 0 ? "" : ",")\n{\"id\":\(token.id),\"content\":")
            writer.string(token.content)
            writer.text(
                ",\"single_word\":\(token.singleWord),\"lstrip\":\(token.stripsLeft),\"rstrip\":\(token.stripsRight),\"normalized\":\(token.normalized),\"special\":\(token.isSpecial)}"
            )
        }
        writer.text("],\"normalizer\":")
        writer.node(normalizer)
        writer.text(",\"pre_tokenizer\":")
        writer.node(preTokenizer)
        writer.text(",\"post_processor\":")
        writer.node(postProcessor)
        writer.text(",\"decoder\":")
        writer.node(decoder)
        if let scores {
            writeUnigram(scores, &writer)
            return writer.bytes
        }
        writer.text(",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":")
        if let unknown { writer.string(unknown) } else { writer.text("null") }
        writer.text(
            ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":\(fallsBackOnBytes),\"byte_fallback\":\(fallsBackOnBytes),\"ignore_merges\":\(ignoresMerges),\"vocab\":{"
        )
        writeVocabulary(&writer)
        writer.text("},\"merges\":[")
        try merges(&writer)
        writer.text("]}}\n")
        return writer.bytes
    }

    /// Writes a Unigram model and the end of the document; the places of the tokens are their ids.
    private func writeUnigram(_ scores: [Double], _ writer: inout DocumentWriter) {
        let unknown = unknown.flatMap { tokens.id(of: Array($0)) }
        writer.text(",\"model\":{\"type\":\"Unigram\",\"unk_id\":")
        writer.text(unknown.map(String.init) ?? "null")
        writer.text(",\"vocab\":[")
        for id in 0..<tokens.count {
            writer.text(id == 0 ? "\n[" : ",\n[")
            writer.string(tokens[id])
            writer.text(",\(id < scores.count ? scores[id] : 0)]")
        }
        writer.text("],\"byte_fallback\":\(fallsBackOnBytes)}}\n")
    }

    private func writeVocabulary(_ writer: inout DocumentWriter) {
        var isFirst = true
        func entry(_ content: ArraySlice<UInt8>, _ id: Int) {
            writer.text(isFirst ? "\n" : ",\n")
            isFirst = false
            writer.string(content)
            writer.text(":\(id)")
        }
        for id in 0..<tokens.count where !tokens.isRepeated[id] { entry(tokens[id], id) }
        for token in further { entry(token.content, token.id) }
    }

    private var normalizer: ConfigNode {
        guard let first = normalizers.first else { return ConfigNode(.null) }
        guard normalizers.count > 1 else { return first }
        return Self.object("Sequence", [("normalizers", ConfigNode(.array(normalizers)))])
    }

    // MARK: Rules

    /// A rule with its type.
    package static func object(
        _ type: String, _ entries: [(String, ConfigNode)] = []
    ) -> ConfigNode {
        var object = ConfigObject()
        object["type"] = ConfigNode(.string(type))
        for (key, value) in entries { object[key] = value }
        return ConfigNode(.object(object))
    }

    /// Replaces a text, or what a regular expression matches.
    package static func replace(
        _ text: String, isRegex: Bool = false, with content: String
    ) -> ConfigNode {
        var pattern = ConfigObject()
        pattern[isRegex ? "Regex" : "String"] = ConfigNode(.string(text))
        return object(
            "Replace",
            [
                ("pattern", ConfigNode(.object(pattern))),
                ("content", ConfigNode(.string(content))),
            ])
    }

    /// The steps that leave one space between words, and none around the text; at its end U+2581 counts as one too.
    package static var removesSpaces: [ConfigNode] {
        [
            replace("\\A +|[ \u{2581}]+\\z", isRegex: true, with: ""),
            replace(" {2,}", isRegex: true, with: " "),
        ]
    }

    /// The steps that put U+2581 for spaces.
    /// - Parameter prefix: whether texts get a space in front.
    package static func marksSpaces(prefix: Bool) -> [ConfigNode] {
        let spaces = replace(" ", with: "\u{2581}")
        guard prefix else { return [spaces] }
        return [object("Prepend", [("prepend", ConfigNode(.string("\u{2581}")))]), spaces]
    }

    /// The decoder of tokens with U+2581 for spaces.
    package static func plainDecoder(prefixesSpace: Bool) -> ConfigNode {
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

    /// Puts tokens around a text.
    package mutating func setTemplate(
        first: (id: Int, text: String)?, last: (id: Int, text: String)?
    ) {
        func entry(_ kind: String, _ id: String, _ type: Int) -> ConfigNode {
            var (outer, inner) = (ConfigObject(), ConfigObject())
            inner["id"] = ConfigNode(.string(id))
            inner["type_id"] = ConfigNode(.integer(type))
            outer[kind] = ConfigNode(.object(inner))
            return ConfigNode(.object(outer))
        }
        var specials = ConfigObject()
        for (id, text) in [first, last].compactMap({ $0 }) {
            var special = ConfigObject()
            special["id"] = ConfigNode(.string(text))
            special["ids"] = ConfigNode(.array([ConfigNode(.integer(id))]))
            special["tokens"] = ConfigNode(.array([ConfigNode(.string(text))]))
            specials[text] = ConfigNode(.object(special))
        }
        func one(_ name: String, _ type: Int) -> [ConfigNode] {
            [
                first.map { entry("SpecialToken", $0.text, type) }, entry("Sequence", name, type),
                last.map { entry("SpecialToken", $0.text, type) },
            ].compactMap { $0 }
        }
        postProcessor = Self.object(
            "TemplateProcessing",
            [
                ("single", ConfigNode(.array(one("A", 0)))),
                ("pair", ConfigNode(.array(one("A", 0) + one("B", 1)))),
                ("special_tokens", ConfigNode(.object(specials))),
            ])
    }
}
