// SPDX-License-Identifier: Apache-2.0
// How text is cut into words, by the name that files have for it in `tokenizer.ggml.pre`.
import EftConfig

/// How a tokenizer of byte pairs cuts text into words, and what else its name implies.
package struct PreTokenization: Sendable {
    /// Regular expressions, each of which cuts the pieces that the one before it left.
    package var patterns: [String]
    /// Whether a word that is a token is never built of merges.
    package var ignoresMerges = false
    /// Whether texts begin with the first token where the file does not say.
    package var addsBOS = false
    /// Whether tokens are plain text with U+2581 for spaces, and not GPT-2's letters for bytes.
    package var isPlain = false

    /// Cuts by patterns alone.
    package init(
        patterns: [String], ignoresMerges: Bool = false, addsBOS: Bool = false,
        isPlain: Bool = false
    ) {
        self.patterns = patterns
        self.ignoresMerges = ignoresMerges
        self.addsBOS = addsBOS
        self.isPlain = isPlain
    }

    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let gpt2 =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    /// What the newer patterns end with.
    private static let rest = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    /// Llama 3's pattern with digits in groups of up to so many.
    private static func llama3(digits: String) -> String {
        contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits + "|" + rest
    }
    private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    /// The pattern that cuts before capitals, as of o200k and Tekken.
    private static func cased(_ suffix: String, digits: String) -> String {
        #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + suffix
            + #"|[^\r\n\p{L}\p{N}]?"# + upper + "+" + lower + "*" + suffix
            + #"|\p{N}"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
    /// The letters of DeepSeek's first tokenizer: those of alphabets that have two cases.
    private static let casedLetters =
        "A-Za-z"
        + "\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}"
        + "\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}"
        + "\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}"
        + "\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}"
        + "\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}"
        + "\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}"
        + "\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}"
        + "\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}"
        + "\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}"
        + "\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}"
        + "\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}"
        + "\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}"
        + "\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}"
        + "\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}"
        + "\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}"
        + "\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}"
        + "\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}"
        + "\u{1E900}-\u{1E943}"
    private static let deepseek3 = [
        #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
    ]

    /// By name; several names for the same are of different models.
    private static let table: [(names: [String], PreTokenization)] = [
        (
            [
                "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4",
                "gigachat", "a.x-4.0", "mellum", "modern-bert", "jina-es", "jina-de",
                "jina-v2-es", "jina-v2-de",
            ], PreTokenization(patterns: [gpt2])
        ),
        (
            [
                "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
                "mellum2",
            ], PreTokenization(patterns: [#"\p{N}"#, gpt2])
        ),
        (
            [
                "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                "lfm2", "jina-v5-nano",
            ],
            PreTokenization(
                patterns: [llama3(digits: "{1,3}")], ignoresMerges: true, addsBOS: true)
        ),
        (
            ["dbrx", "smaug-bpe", "chatglm-bpe"],
            PreTokenization(patterns: [llama3(digits: "{1,3}")])
        ),
        (
            ["glm4", "glm5"],
            PreTokenization(patterns: [llama3(digits: "{1,3}")], ignoresMerges: true)
        ),
        (
            [
                "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "megrez", "hunyuan",
                "solar-open", "grok-2",
            ], PreTokenization(patterns: [llama3(digits: "")])
        ),
        (
            ["qwen35"],
            PreTokenization(patterns: [
                contractions
                    + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            ])
        ),
        (
            ["tekken"],
            PreTokenization(
                patterns: [cased("", digits: "")], ignoresMerges: true, addsBOS: true)
        ),
        (
            ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
            PreTokenization(patterns: [cased(contractions + "?", digits: "{1,3}")])
        ),
        (
            ["tiny_aya", "cohere2moe"],
            PreTokenization(patterns: [
                #"\d{1,3}(?=(?:\d{3})*\b)"#, cased(contractions + "?", digits: "{1,3}"),
            ])
        ),
        (
            ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
            PreTokenization(patterns: deepseek3)
        ),
        (
            ["deepseek-llm"],
            PreTokenization(patterns: [
                #"[\r\n]"#, #"\s?["# + casedLetters + "]+", #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#,
                #"\s+$"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}+"#,
            ])
        ),
        (
            ["deepseek-coder"],
            PreTokenization(patterns: [
                #"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}"#,
            ])
        ),
        (
            ["falcon"],
            PreTokenization(patterns: [#"[\p{P}\$\+<=>\^~\|`]+"#, gpt2, "[0-9][0-9][0-9]"])
        ),
        (
            ["default"],
            PreTokenization(patterns: [
                #"[\p{P}\$\+<=>\^~\|]+"#, gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]",
            ])
        ),
        (
            ["poro-chat", "bloom", "gpt3-finnish"],
            PreTokenization(patterns: [" ?[^(\\s|.,!?…。，、।۔،)]+"])
        ),
        (["viking"], PreTokenization(patterns: [" ?[^(\\s|.,!?…。，、।۔،)]+", #"\p{N}"#])),
        (
            ["bailingmoe", "bailingmoe2", "llada-moe"],
            PreTokenization(patterns: [
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
            ])
        ),
        (
            ["seed-coder"],
            PreTokenization(patterns: [
                contractions
                    + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"#
            ])
        ),
        (["superbpe"], PreTokenization(patterns: [#"\p{N}+"#, #"(?=(\d{3})+(?!\d))"#])),
        (["gemma4", "sarvam-moe"], PreTokenization(patterns: [#"[^\n]+|[\n]+"#], isPlain: true)),
    ]

    /// The way of a name; nil when it is not known.
    package static func named(_ name: String) -> PreTokenization? {
        table.first { $0.names.contains(name) }?.1
    }

    /// A name that stands for regular expressions; nil when none does.
    static func name(of patterns: [String], ignoresMerges: Bool) -> String? {
        let found = table.filter { !$0.1.isPlain && $0.1.patterns == patterns }
        let exact = found.first { $0.1.ignoresMerges == ignoresMerges }
        return (exact ?? found.first)?.names.first
    }

    /// The `pre_tokenizer` of a tokenizer.json.
    package var node: ConfigNode {
        var steps = patterns.map { pattern in
            var split = ConfigObject()
            var regex = ConfigObject()
            regex["Regex"] = ConfigNode(.string(pattern))
            split["type"] = ConfigNode(.string("Split"))
            split["pattern"] = ConfigNode(.object(regex))
            split["behavior"] = ConfigNode(.string("Isolated"))
            split["invert"] = ConfigNode(.bool(false))
            return ConfigNode(.object(split))
        }
        if !isPlain {
            var bytes = ConfigObject()
            bytes["type"] = ConfigNode(.string("ByteLevel"))
            bytes["add_prefix_space"] = ConfigNode(.bool(false))
            bytes["trim_offsets"] = ConfigNode(.bool(true))
            bytes["use_regex"] = ConfigNode(.bool(false))
            steps.append(ConfigNode(.object(bytes)))
        }
        var sequence = ConfigObject()
        sequence["type"] = ConfigNode(.string("Sequence"))
        sequence["pretokenizers"] = ConfigNode(.array(steps))
        return ConfigNode(.object(sequence))
    }
}
