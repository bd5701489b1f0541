// SPDX-License-Identifier: Apache-2.0
// A model folder of a few kilobytes with a byte-level tokenizer, made by the tests themselves.
import EftConfig
import EftFormats
import EftTestSupport

/// What the tests train.
enum TinyModel {
    /// Ids: a token for each byte, then the merges, then the special tokens.
    static let merges = ["t h", "th e", "o n", "\u{120} the"]
    static let bos: Int32 = 260
    static let eos: Int32 = 261

    /// The characters that stand for bytes in byte-level vocabularies.
    private static let alphabet: [String] = {
        var next: UInt32 = 256
        return (0..<256).map { (byte: UInt32) in
            switch byte {
            case 33...126, 161...172, 174...255: return String(Unicode.Scalar(byte) ?? " ")
            default:
                defer { next += 1 }
                return String(Unicode.Scalar(next) ?? " ")
            }
        }
    }()

    /// A tokenizer that puts BOS in front.
    static var tokenizer: String {
        var vocabulary = ConfigObject()
        let words = alphabet + merges.map { $0.replacing(" ", with: "") }
        for (id, word) in words.enumerated() { vocabulary[word] = ConfigNode(id) }
        func special(_ id: Int32, _ text: String) -> ConfigNode {
            [
                "id": ConfigNode(Int(id)), "content": ConfigNode(text), "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            ]
        }
        let template: ConfigNode = [
            "type": "TemplateProcessing",
            "single": [
                ["SpecialToken": ["id": "<s>", "type_id": 0]],
                ["Sequence": ["id": "A", "type_id": 0]],
            ],
            "pair": [
                ["SpecialToken": ["id": "<s>", "type_id": 0]],
                ["Sequence": ["id": "A", "type_id": 0]],
                ["Sequence": ["id": "B", "type_id": 1]],
            ],
            "special_tokens": ["<s>": ["id": "<s>", "ids": [260], "tokens": ["<s>"]]],
        ]
        let node: ConfigNode = [
            "version": "1.0", "truncation": .null, "padding": .null,
            "added_tokens": [special(bos, "<s>"), special(eos, "</s>")], "normalizer": .null,
            "pre_tokenizer": [
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": true,
            ],
            "post_processor": template,
            "decoder": [
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                "use_regex": true,
            ],
            "model": [
                "type": "BPE", "dropout": .null, "unk_token": .null,
                "continuing_subword_prefix": .null, "end_of_word_suffix": .null,
                "fuse_unk": false, "byte_fallback": false, "vocab": ConfigNode(vocabulary),
                "merges": ConfigNode(merges),
            ],
        ]
        return JSONWriter.text(node)
    }

    /// Writes config.json and the tokenizer, no weights.
    static func write(
        to folder: TemporaryFolder, vocabulary: Int = 264, layers: Int = 2, name: String = "",
        type: String = "llama"
    ) throws {
        let place = name.isEmpty ? "" : name + "/"
        try FileSystem.createFolder(folder.file(name))
        try folder.write(
            place + "config.json",
            """
            {"architectures": ["LlamaForCausalLM"], "model_type": "\(type)", "hidden_size": 32, "head_dim": 8,
             "intermediate_size": 64, "num_hidden_layers": \(layers), "num_attention_heads": 4,
             "num_local_experts": 3, "num_experts_per_tok": 2,
             "num_key_value_heads": 2, "vocab_size": \(vocabulary), "tie_word_embeddings": true,
             "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "initializer_range": 0.05}
            """)
        try folder.write(place + "tokenizer.json", tokenizer)
        try folder.write(
            place + "tokenizer_config.json", #"{"bos_token": "<s>", "eos_token": "</s>"}"#)
        try folder.write(place + "generation_config.json", #"{"eos_token_id": 261}"#)
    }

    /// Alpaca rows, one to a line.
    static func rows(_ count: Int) -> String {
        (0..<count).map { index in
            let input = index % 3 == 0 ? "" : "number \(index)"
            return """
                {"instruction": "Say the number \(index)", "input": "\(input)", "output": "the \(index)"}
                """
        }.joined(separator: "\n") + "\n"
    }
}
