// SPDX-License-Identifier: Apache-2.0
// Rows with preferences become tokens of prompts and answers.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct PreferenceDataTests {
    private static let template =
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
        + "{% if add_generation_prompt %}<assistant>{% endif %}"

    /// Prompt, first answer and second one, as texts.
    private func texts(
        _ type: String, _ row: String, _ kind: AnswerKind = .pairs
    ) throws -> (texts: [String], example: TrainingExample) {
        let rig = try ConversationRig("llama3", template: Self.template)
        let method =
            kind == .pairs
            ? "dpo" : "kto\nadapter: lora\nlora_r: 2\nlora_alpha: 2\nmicro_batch_size: 2"
        let config = try AxolotlConfig(
            ConfigCursor(
                YAMLParser.parse(
                    "base_model: b\nlearning_rate: 1\nrl: \(method)\nlora_target_linear: true\n"
                        + "datasets:\n  - {path: x\(type.isEmpty ? "" : ", " + type)}",
                    file: "c.yml"), file: "c.yml"))
        let example = try rig.answers(config, row)
        let answers = [example] + (example.rejected.map { [$0] } ?? [])
        var parts: [String] = []
        for answer in answers {
            let count = try #require(answer.labels.firstIndex { $0 >= 0 })
            #expect(Array(answer.labels[count...]) == Array(answer.tokens[count...]))
            #expect(answer.tokens.last == rig.tokenizer.eosID)
            if parts.isEmpty { parts.append(try rig.tokenizer.decode(answer.tokens[..<count])) }
            let prompt = try rig.tokenizer.decode(answer.tokens[..<count])
            #expect(prompt == parts[0])
            parts.append(try rig.tokenizer.decode(answer.tokens[count...].dropLast()))
        }
        return (parts, example)
    }

    private static let chatML = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    private static let chatMLSystem = "<|im_start|>system\ns<|im_end|>\n" + chatML
    private static let llama3 =
        "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
        + "<|start_header_id|>assistant<|end_header_id|>\n\n"

    @Test(arguments: [
        ("chatml", #"{"input": "q", "chosen": "a", "rejected": "b"}"#, chatML),
        (
            "chatml.icr", #"{"system": "s", "input": "q", "chosen": "a", "rejected": "b"}"#,
            chatMLSystem
        ),
        (
            "chatml.intel", #"{"system": "", "question": "q", "chosen": "a", "rejected": "b"}"#,
            chatML
        ),
        (
            "chatml.argilla",
            #"{"instruction": "q", "chosen_response": "a", "rejected_response": "b"}"#, chatML
        ),
        (
            "chatml.ultra",
            #"{"prompt": "q", "chosen": [{"content": "q"}, {"content": "a"}], "rejected": [{"content": "q"}, {"content": "b"}]}"#,
            chatML
        ),
        (
            "chatml.argilla_chat",
            #"{"chosen": [{"content": "q"}, {"content": "a"}], "rejected": [{"content": "q"}, {"content": "b"}]}"#,
            chatML
        ),
    ])
    func `pairs are marked as ChatML`(_ type: String, _ row: String, _ prompt: String) throws {
        let found = try texts("type: \(type)", row).texts
        #expect(found.map(\.withoutBOS) == [prompt, "a<|im_end|>", "b<|im_end|>"])
    }

    @Test func `pairs are marked as Llama 3's`() throws {
        let row = #"{"prompt": "q", "chosen": "a", "rejected": "b"}"#
        let found = try texts("type: llama3.prompt_pairs", row).texts
        #expect(found.map(\.withoutBOS) == [Self.llama3, "a<|eot_id|>", "b<|eot_id|>"])
    }

    @Test(arguments: ["", "type: passthrough"])
    func `plain rows are taken as they are`(_ type: String) throws {
        let row = #"{"prompt": "the question:", "chosen": " yes", "rejected": " no"}"#
        #expect(try texts(type, row).texts.map(\.withoutBOS) == ["the question:", " yes", " no"])
    }

    @Test func `a mapping names fields and texts`() throws {
        let type =
            "type: {field_prompt: p, field_system: s, field_chosen: good, field_rejected: bad, "
            + "prompt_format: \"[{system}] {prompt} {x}\", chosen_format: \"+{chosen}\"}"
        let row = #"{"p": "{prompt}", "s": "be", "good": "1", "bad": "2"}"#
        #expect(
            try texts(type, row).texts.map(\.withoutBOS) == ["[be] {prompt} {x}", "+1", "2"])
    }

    @Test(arguments: [
        (
            "type: chat_template.default, field_messages: talk",
            #"{"talk": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "chosen": {"role": "assistant", "content": "a"}, "rejected": {"role": "assistant", "content": "b"}}"#,
            "<system>s</>\n<user>q</>\n<assistant>"
        ),
        (
            "type: chat_template.default, message_property_mappings: {role: from, content: value}",
            #"{"messages": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}"#,
            "<user>q</>\n<assistant>"
        ),
        (
            "type: chat_template.argilla",
            #"{"system": "s", "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}"#,
            "<system>s</>\n<user>q</>\n<assistant>"
        ),
        (
            "",
            #"{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}"#,
            "<user>q</>\n<assistant>"
        ),
        (
            "type: chat_template", #"{"prompt": "q", "chosen": "a", "rejected": "b"}"#,
            "<user>q</>\n<assistant>"
        ),
    ])
    func `conversations are written by the template`(
        _ type: String, _ row: String, _ prompt: String
    ) throws {
        let (found, example) = try texts(type, row)
        #expect(found.map(\.withoutBOS) == [prompt, "a</>", "b</>"])
        // The template's BOS is not doubled by the tokenizer's.
        #expect(example.tokens.count { $0 == example.tokens[0] } == 1)
    }

    @Test(arguments: [
        ("type: chatml.intel", #"{"question": "q", "completion": "a", "label": true}"#, true),
        ("", #"{"prompt": "q", "completion": "a", "label": 0}"#, false),
        (
            "type: {field_label: good, field_completion: text}",
            #"{"prompt": "q", "text": "a", "good": false}"#, false
        ),
    ])
    func `single answers have a label`(_ type: String, _ row: String, _ isGood: Bool) throws {
        let (_, example) = try texts(type, row, .single)
        #expect(example.preference == .desirable(isGood))
        #expect(example.rowCount == example.tokens.count)
    }

    @Test(arguments: [
        ("type: chatml.intel", #"{"chosen": "a", "rejected": "b"}"#, "question"),
        ("", #"{"prompt": "q", "chosen": "a"}"#, "rejected"),
        ("", #"{"prompt": "q", "chosen": 1, "rejected": "b"}"#, "chosen"),
        ("type: chatml.argilla_chat", #"{"chosen": [], "rejected": []}"#, "two messages"),
        ("type: chat_template", #"{"chosen": "a", "rejected": "b"}"#, "prompt"),
        ("type: chat_template", #"{"prompt": "q", "chosen": "", "rejected": "b"}"#, "empty"),
    ])
    func `rows that miss something are refused by name`(
        _ type: String, _ row: String, _ word: String
    ) throws {
        let error = #expect(throws: ConfigError.self) { try texts(type, row) }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }

    @Test func `an unknown type is refused with the nearest`() throws {
        let error = #expect(throws: ConfigError.self) { try texts("type: chatml.intl", "{}") }
        #expect(error?.description.contains("chatml.intel") == true)
    }

    @Test(arguments: [
        ("rl: grpo", "reward_command"), ("rl: dpoo", "dpo"),
        ("rl: kto", "micro_batch_size"), ("rl: dpo\ndpo_loss_type: [aot]", "aot"),
        ("rl: dpo\ndpo_loss_type: [sigmoid]\ndpo_loss_weights: [1, 2]", "2 weights for 1"),
        ("rl: simpo\ndpo_use_weighting: true", "compared with a reference"),
        ("rl: dpo\nrl_beta: -1", "rl_beta"),
        (
            "rl: kto\nadapter: lora\nlora_r: 2\nlora_alpha: 2\nlora_target_linear: true\nmicro_batch_size: 1",
            "micro_batch_size"
        ),
    ])
    func `settings that cannot be are refused by name`(_ text: String, _ word: String) throws {
        let error = #expect(throws: ConfigError.self) {
            try AxolotlConfig(
                ConfigCursor(
                    YAMLParser.parse(
                        "base_model: b\nlearning_rate: 1\ndatasets: [{path: x}]\n" + text,
                        file: "c.yml"), file: "c.yml"))
        }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }
}

extension String {
    /// The text without the token that the tokenizer puts in front.
    fileprivate var withoutBOS: String {
        hasPrefix("<|bos|>") ? String(dropFirst("<|bos|>".count)) : self
    }
}
