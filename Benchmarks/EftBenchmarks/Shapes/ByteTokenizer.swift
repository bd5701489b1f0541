// SPDX-License-Identifier: Apache-2.0
// The smallest tokenizer there is: a token a byte.
import EftConfig
import EftTokenizers

enum ByteTokenizer {
    /// Its tokenizer.json.
    static var document: ConfigNode {
        var vocabulary = ConfigObject()
        for (byte, character) in ByteLevelAlphabet.characters.enumerated() {
            vocabulary[String(decoding: character, as: UTF8.self)] = ConfigNode(byte)
        }
        let byteLevel: ConfigNode = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false,
        ]
        return [
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": [],
            "normalizer": .null, "pre_tokenizer": byteLevel, "post_processor": .null,
            "decoder": byteLevel,
            "model": ["type": "BPE", "vocab": ConfigNode(vocabulary), "merges": []],
        ]
    }
}
