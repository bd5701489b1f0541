// SPDX-License-Identifier: Apache-2.0
// The smallest tokenizer there is: a token a byte, and texts for other ids that a model may sample.
import EftConfig
import EftTokenizers

enum ByteTokenizer {
    /// Its tokenizer.json.
    ///
    /// No text is read as an id beyond the bytes; but what is sampled has a text, so that a server has something to send.
    /// - Parameter size: ids that have a text; those of bytes always have.
    static func document(size: Int) -> ConfigNode {
        var vocabulary = ConfigObject()
        for (byte, character) in ByteLevelAlphabet.characters.enumerated() {
            vocabulary[String(decoding: character, as: UTF8.self)] = ConfigNode(byte)
        }
        for id in min(vocabulary.count, size)..<size {
            // A space as byte-level tokenizers spell it, and a word.
            vocabulary["\u{120}" + word(id)] = ConfigNode(id)
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

    /// A number in letters, at least two.
    private static func word(_ number: Int) -> String {
        var (rest, letters) = (number, "")
        while rest > 0 || letters.count < 2 {
            letters.append(Character(UnicodeScalar(UInt8(ascii: "a") + UInt8(rest % 26))))
            rest /= 26
        }
        return letters
    }
}
