// SPDX-License-Identifier: Apache-2.0
// Altered tokenizer files: refused or used, never a crash.
import EftConfig
import EftTensor
import EftTestSupport
import Testing

@testable import EftTokenizers

struct TokenizerMutationTests {
    private let texts = ["", "Hello, World! 123", "é e\u{301} 漢 😀\u{0}\n\n  x", "<s>a</s> ▁b"]

    /// Uses a tokenizer in all ways.
    private func use(_ tokenizer: Tokenizer) throws {
        for text in texts {
            let ids = try tokenizer.encode(text, addSpecialTokens: true)
            _ = try tokenizer.decode(ids)
        }
        _ = try tokenizer.decode([0, 1, 5, -1, .max, .min, Int32(clamping: tokenizer.idBound)])
    }

    @Test(arguments: TokenizerFixtures.kinds)
    func `no altered tokenizer.json makes it crash`(kind: String) throws {
        let original = try TokenizerFixtures.bytes(kind + ".json")
        let document = try JSONParser.parse(original)
        // Most values of a file are its vocabulary; the rest, where the variety is, is altered more often.
        var settings = try ConfigCursor(document).object()
        let model = try ConfigCursor(document).required("model").object()
        var parameters = model
        (settings["model"], parameters["vocab"], parameters["merges"]) = (nil, nil, nil)
        var random = SplitMix64(seed: UInt64(kind.utf8.count) + 41)
        var (used, refused) = (0, 0)
        for round in 0..<240 {
            let bytes: [UInt8]
            switch round % 3 {
            case 0: bytes = random.mutated(original, headBias: 2500)
            case 1: bytes = Array(JSONWriter.text(random.mutated(document)).utf8)
            default:
                var altered = random.altered(settings)
                var parts = random.altered(parameters)
                parts["vocab"] = model["vocab"]
                parts["merges"] = model["merges"]
                altered["model"] = ConfigNode(parts)
                bytes = Array(JSONWriter.text(ConfigNode(altered)).utf8)
            }
            do {
                try use(Tokenizer(json: bytes, file: kind))
                used += 1
            } catch {
                #expect(error is TokenizerError || error is ConfigError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 5 && refused > 5)
    }

    @Test func `no altered file beside it makes it crash`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.plainWrite("tokenizer.json", TokenizerFixtures.bytes("words.json"))
        let documents: [(String, ConfigNode)] = [
            (
                "tokenizer_config.json",
                [
                    "bos_token": "<s>", "eos_token": ["content": "</s>", "lstrip": false],
                    "pad_token": .null,
                ]
            ),
            ("special_tokens_map.json", ["bos_token": ["content": "a"], "eos_token": "b"]),
            (
                "generation_config.json",
                ["eos_token_id": [1, 2], "bos_token_id": 0, "pad_token_id": -1]
            ),
            ("config.json", ["eos_token_id": 2, "bos_token_id": [1]]),
        ]
        var random = SplitMix64(seed: 43)
        var (used, refused) = (0, 0)
        for round in 0..<300 {
            for (name, document) in documents {
                let text = JSONWriter.text(random.mutated(document))
                let bytes = Array(text.utf8)
                _ = try folder.plainWrite(
                    name, round % 4 == 0 ? random.mutated(bytes, headBias: bytes.count) : bytes)
            }
            do {
                try use(Tokenizer.load(folder: folder.path))
                used += 1
            } catch {
                #expect(error is TokenizerError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 5 && refused > 5)
    }
}

extension SplitMix64 {
    /// Half of the time the mapping itself, else an altered one.
    fileprivate mutating func altered(_ object: ConfigObject) -> ConfigObject {
        guard Bool.random(using: &self) else { return object }
        return (try? ConfigCursor(mutated(ConfigNode(object))).object()) ?? object
    }
}
