// SPDX-License-Identifier: Apache-2.0
// Altered rows and altered entries of data sets: refused or used, never a crash.
import EftConfig
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

@testable import EftTraining

struct RowMutationTests {
    private static let conversation: ConfigNode = [
        "system": "Be on.",
        "tools": [["type": "function", "function": ["name": "f", "parameters": "{}"]]],
        "messages": [
            ["role": "user", "content": "on the hill", "learn": true],
            [
                "role": "assistant", "content": "<think>hm</think> the end", "learn": .null,
                "tool_calls": [["id": "1", "function": ["name": "f", "arguments": "{}"]]],
            ],
            ["role": "tool", "content": "5"],
            [
                "role": "assistant", "reasoning_content": [["text": "one", "train": false]],
                "content": [["type": "text", "text": "the", "weight": 1], ["text": " end"]],
            ],
            [
                "role": "assistant", "content": "on and on",
                "detail": [
                    ["begin_offset": 0, "end_offset": 3, "train": true],
                    ["begin_offset": 4, "end_offset": 99, "train": false],
                ],
            ],
        ],
    ]
    private static let entry: ConfigObject = [
        "type": "chat_template", "chat_template": "qwen3", "field_messages": "messages",
        "message_property_mappings": ["role": "role", "content": "content"],
        "message_field_training": "learn", "message_field_training_detail": "detail",
        "roles": ["assistant": ["assistant", "gpt"]], "roles_to_train": ["assistant"],
        "train_on_eos": "turn", "train_on_eot": "turn", "split_thinking": true,
        "drop_system_message": false, "field_tools": "tools", "shards": 3, "shards_idx": 1,
        "skip": 2,
    ]

    private func isNamed(_ error: any Error) -> Bool {
        error is ConfigError || error is TrainingError || error is ChatTemplateError
            || error is TokenizerError
    }

    @Test func `no altered row makes it crash`() throws {
        let rig = try ConversationRig()
        let (format, encoder) = try rig.format(Self.entry)
        #expect(
            try format.examples(ConfigCursor(Self.conversation), encoder)[0].trainedTokens > 0)
        var random = SplitMix64(seed: 5)
        var (used, refused) = (0, 0)
        for round in 0..<1500 {
            let row = random.mutated(Self.conversation)
            do {
                let examples = try format.examples(ConfigCursor(row, file: "r"), encoder)
                #expect(examples.allSatisfy { $0.tokens.count == $0.labels.count })
                used += 1
            } catch {
                #expect(isNamed(error), "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 100 && refused > 100)
    }

    @Test func `no altered entry makes it crash`() throws {
        let rig = try ConversationRig()
        var random = SplitMix64(seed: 6)
        var (used, refused) = (0, 0)
        for round in 0..<1000 {
            guard case .object(let entry) = random.mutated(ConfigNode(Self.entry)).value else {
                continue
            }
            do {
                let (format, encoder) = try rig.format(entry)
                _ = try format.examples(ConfigCursor(Self.conversation), encoder)
                used += 1
            } catch {
                #expect(isNamed(error), "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 100 && refused > 100)
    }

    @Test(arguments: [
        "alpaca_w_system", "explainchoice", "reflection", "pretrain", "input_output", "jeopardy",
    ])
    func `no altered row of another form makes it crash`(_ type: String) throws {
        let rig = try ConversationRig("llama3")
        let (format, encoder) = try rig.format(["type": ConfigNode(type)])
        let row: ConfigNode = [
            "instruction": "a", "input": "b", "output": "c", "system": "d", "question": "e",
            "category": "f", "answer": "g", "choices": ["h", "i"], "solution": "j",
            "reflection": "k", "corrected": "l", "text": "m",
            "segments": [["label": true, "text": "n"]], "input_ids": [1, 2],
            "attention_mask": [1, 1], "labels": [1, -100],
        ]
        var random = SplitMix64(seed: 7)
        for round in 0..<300 {
            let cursor = ConfigCursor(random.mutated(row), file: "r")
            do {
                _ = try format.examples(cursor, encoder)
                if Tokenized.holds(cursor) { _ = try Tokenized().examples(cursor, encoder) }
            } catch { #expect(isNamed(error), "round \(round): \(error)") }
        }
    }
}
