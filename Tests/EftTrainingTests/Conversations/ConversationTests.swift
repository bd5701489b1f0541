// SPDX-License-Identifier: Apache-2.0
// Conversations by all their keys, and what is said about those that cannot be learned.
import EftConfig
import EftTestSupport
import EftTokenizers
import Testing

@testable import EftTraining

struct ConversationTests {
    private static let talk: ConfigNode = [
        "messages": [
            ["role": "user", "content": "on"], ["role": "assistant", "content": "the end"],
        ]
    ]
    private static let jinja: ConfigObject = [
        "chat_template_jinja": ConfigNode(ConversationRig.template)
    ]

    // MARK: Rows

    @Test(arguments: ["chat_template", "sharegpt"])
    func `rows of ShareGPT convert by themselves`(_ type: String) throws {
        let rig = try ConversationRig()
        let row: ConfigNode = [
            "id": "x",
            "conversations": [
                ["from": "human", "value": "on", "weight": .null],
                ["from": "gpt", "value": "the end"],
            ],
        ]
        var entry = Self.jinja
        entry["type"] = ConfigNode(type)
        #expect(try rig.example(row, entry) == rig.example(Self.talk, Self.jinja))
    }

    @Test func `nulls count as absent, also within calls and tools`() throws {
        let rig = try ConversationRig()
        let template = "{{ tools | tojson if tools }}" + ConversationRig.template
        let tool: ConfigNode = ["type": "function", "function": ["name": "f", "strict": .null]]
        let row: ConfigNode = [
            "tools": [tool], "messages": [["role": "assistant", "content": "the", "name": .null]],
        ]
        let example = try rig.example(row, ["chat_template_jinja": ConfigNode(template)])
        let text = try rig.tokenizer.decode(example.tokens)
        #expect(text.hasPrefix(#"[{"type": "function", "function": {"name": "f"}}]<tool>"#))
    }

    @Test func `parameters of tools and arguments of calls may be JSON text`() throws {
        let rig = try ConversationRig()
        let template =
            "{{ tools[0].function.parameters.a }}{% for m in messages %}{% for c in m.tool_calls or [] %}"
            + "{{ c.function.arguments.b }}{% endfor %}{{ m.content }}{% endfor %}"
        let row: ConfigNode = [
            "tools": #"[{"function": {"name": "f", "parameters": "{\"a\": 12}"}}]"#,
            "messages": [
                [
                    "role": "assistant", "content": "x",
                    "tool_calls": [["function": ["name": "f", "arguments": #"{"b": 34}"#]]],
                ]
            ],
        ]
        let example = try rig.example(row, ["chat_template_jinja": ConfigNode(template)])
        #expect(try rig.tokenizer.decode(example.tokens) == "1234x")
    }

    // MARK: Templates

    @Test func `templates come from the tokenizer, a family, a text or a file`() throws {
        let rig = try ConversationRig(template: ConversationRig.template)
        let own = try rig.example(Self.talk)
        #expect(try rig.learned(own).hasSuffix("the end<|eos|>."))
        #expect(try rig.example(Self.talk, ["chat_template": "tokenizer_default"]) == own)
        let fallback: ConfigObject = ["chat_template": "tokenizer_default_fallback_chatml"]
        #expect(try rig.example(Self.talk, fallback) == own)
        let bare = try ConversationRig()
        let chatML = try bare.example(Self.talk, ["chat_template": "chatml"])
        #expect(try bare.example(Self.talk, fallback) == chatML)
        #expect(chatML != own)
        let path = try bare.folder.write("t.jinja", ConversationRig.template)
        #expect(try bare.example(Self.talk, ["chat_template_jinja": ConfigNode(path)]) == own)
        let jinja: ConfigObject = [
            "chat_template": "jinja", "chat_template_jinja": ConfigNode(ConversationRig.template),
        ]
        #expect(try bare.example(Self.talk, jinja) == own)
        // The configuration's template holds for data sets that name the tokenizer's or none.
        #expect(try bare.example(Self.talk, top: jinja) == own)
        #expect(
            try bare.example(Self.talk, ["chat_template": "tokenizer_default"], top: jinja) == own)
        #expect(try bare.example(Self.talk, ["chat_template": "chatml"], top: jinja) == chatML)
    }

    @Test(arguments: [
        ("chatmll", "did you mean 'chatml'?"), ("jinja", "chat_template_jinja"),
        ("tokenizer_default_fallback_nothing", "there is no chat template 'nothing'"),
        ("command_a", "belong to its model"),
    ])
    func `names of templates that are not there are refused`(_ name: String, _ hint: String) throws
    {
        let rig = try ConversationRig()
        let error = try #require(throws: ConfigError.self) {
            try rig.example(Self.talk, ["chat_template": ConfigNode(name)])
        }
        #expect(error.description.contains(hint))
        #expect(error.keyPath == "datasets[0].chat_template")
        #expect(throws: ConfigError.self) {
            try rig.example(Self.talk, top: ["chat_template": ConfigNode(name)])
        }
    }

    @Test func `a tokenizer without a template is explained`() throws {
        let error = try #require(throws: ConfigError.self) {
            try ConversationRig().example(Self.talk)
        }
        #expect(error.description.contains("chat_template: chatml"))
    }

    @Test func `tokens that end turns are checked`() throws {
        let rig = try ConversationRig()
        let notices = try rig.format(["chat_template": "chatml"]).format.notices
        #expect(notices.count == 1 && notices[0].contains("never writes the EOS token '<|eos|>'"))
        let unknown = try rig.format(Self.jinja, top: ["eot_tokens": ["<|im|>"]]).format.notices
        #expect(unknown.count == 1 && unknown[0].contains("never writes '<|im|>'"))
        #expect(try rig.format(Self.jinja).format.notices.isEmpty)
        let entry: ConfigObject = [
            "chat_template_jinja":
                "{% for m in messages %}<tool>{{ m.content }}<|eos|>{% endfor %}",
            "train_on_eot": "all",
        ]
        #expect(throws: ConfigError.self) {
            try rig.example(Self.talk, entry, top: ["eot_tokens": ["<|eos|>", "<tool>"]])
        }
    }

    @Test func `an end that is several tokens is learned as a whole`() throws {
        let rig = try ConversationRig()
        let top: ConfigObject = ["eot_tokens": ["<|im_end|>"]]
        let chatML: ConfigObject = ["chat_template": "chatml"]
        #expect(try rig.format(chatML, top: top).format.notices[0].contains("learned together"))
        let example = try rig.example(Self.talk, chatML, top: top)
        let text = try rig.learned(example)
        #expect(text.contains("the end<|im_end|>"), "\(text)")
        #expect(!text.dropLast(20).contains("im_end"))
        // The user's end is learned too when all are.
        let all = try rig.learned(
            rig.example(Self.talk, ["chat_template": "chatml", "train_on_eot": "all"], top: top))
        #expect(all.split(separator: "im_end").count == 3, "\(all)")
        let none = try rig.learned(
            rig.example(Self.talk, ["chat_template": "chatml", "train_on_eot": "none"], top: top))
        #expect(none.filter { $0 != "." } == "the end")
    }

    // MARK: Faults of rows

    private func fault(
        _ row: ConfigNode, _ entry: ConfigObject = jinja
    ) throws -> ConfigError {
        let rig = try ConversationRig()
        let error = try #require(throws: ConfigError.self) { try rig.example(row, entry) }
        #expect(error.file == "rows.jsonl")
        return error
    }

    @Test(arguments: [
        ("{}", "no field 'messages'"), (#"{"messages": []}"#, "no messages"),
        (#"{"messages": null}"#, "no field 'messages'"),
        (#"{"messages": "x"}"#, "not valid JSON"), (#"{"messages": [1]}"#, "expected a mapping"),
        (#"{"messages": [{"content": "x"}]}"#, "no 'role'"),
        (#"{"messages": [{"role": 1, "content": "x"}]}"#, "expected a string"),
        (#"{"messages": [{"role": "user", "content": 1}]}"#, "neither a text nor a list"),
        (#"{"messages": [{"role": "user", "content": [{"type": "image"}]}]}"#, "only text"),
        (#"{"messages": [{"role": "user", "content": "x"}], "system": 1}"#, "expected a string"),
        (#"{"messages": [{"role": "user", "content": "x"}], "tools": 1}"#, "expected a list"),
    ])
    func `rows that are no conversation are named`(_ row: String, _ hint: String) throws {
        let error = try fault(JSONParser.parse(row))
        #expect(error.description.contains(hint), "\(error)")
    }

    @Test func `a template that refuses a conversation is told apart from one that is faulty`()
        throws
    {
        let raising = "{{ raise_exception('no') }}"
        let error = try fault(Self.talk, ["chat_template_jinja": ConfigNode(raising)])
        #expect(error.message.contains("refuses this conversation: no"))
        #expect(error.line == 7)
        let rig = try ConversationRig()
        for faulty in ["{% for %}", "{{ messages | nothing }}"] {
            #expect(throws: ChatTemplateError.self) {
                try rig.example(Self.talk, ["chat_template_jinja": ConfigNode(faulty)])
            }
        }
    }

    @Test(arguments: [
        // The second turn's text is written again behind the third.
        (
            "{% for m in messages %}{{ m.content }};{% endfor %}{{ messages[1].content }}",
            "turn 1", "turn 2"
        ),
        // What is written for the last turn depends on the one before.
        (
            "{% for m in messages %}{% if m.content != 'the end' %}#{% endif %}{{ m.content }};{% endfor %}"
                + "{{ messages[1].content | length }}{{ messages[3].content }}", "turn 1", "turn 2"
        ),
        (
            "{% for m in messages if m.role == 'user' %}{{ m.content }};{% endfor %}", "turn 1",
            "write"
        ),
    ])
    func `turns that cannot be told apart are an error with row and turn`(
        _ template: String, _ turn: String, _ other: String
    ) throws {
        let row: ConfigNode = [
            "messages": [
                ["role": "user", "content": "on"], ["role": "assistant", "content": "the end"],
                ["role": "user", "content": "more"], ["role": "assistant", "content": "of it"],
            ]
        ]
        let error = try fault(row, ["chat_template_jinja": ConfigNode(template)])
        #expect(error.message.contains(turn) && error.message.contains(other), "\(error)")
        #expect(error.keyPath.contains("[1]"))
    }

    @Test func `a template that changes earlier turns is masked as it writes them`() throws {
        // Thoughts of earlier turns are left out once there is a later one.
        let template =
            "{% for m in messages %}{{ m.content if loop.last else m.content.split('!')[-1] }};{% endfor %}"
        let row: ConfigNode = [
            "messages": [
                ["role": "assistant", "content": "hm!one"], ["role": "user", "content": "on"],
                ["role": "assistant", "content": "hm!two"],
            ]
        ]
        let rig = try ConversationRig()
        let example = try rig.example(row, ["chat_template_jinja": ConfigNode(template)])
        #expect(try rig.tokenizer.decode(example.tokens) == "one;on;hm!two;")
        #expect(try rig.learned(example).filter { $0 != "." } == "onehm!two")
    }

    @Test func `details of a text that the template changes are refused`() throws {
        let row: ConfigNode = [
            "messages": [
                [
                    "role": "assistant", "content": "the end",
                    "detail": [["begin_offset": 0, "end_offset": 2, "train": true]],
                ]
            ]
        ]
        let entry: ConfigObject = [
            "chat_template_jinja": "{{ messages[0].content | upper }}",
            "message_field_training_detail": "detail",
        ]
        #expect(try fault(row, entry).message.contains("changes this turn's text"))
    }
}
