// SPDX-License-Identifier: Apache-2.0
// Lines that users type, settings by name, and conversations in files.
import EftConfig
import EftGeneration
import Testing

@Suite struct ChatInstructionTests {
    @Test(arguments: [
        ("Hello", ChatInstruction.say("Hello")), (" /help", .say(" /help")),
        ("/usr/bin is a folder", .say("/usr/bin is a folder")), ("/", .say("/")),
        ("/2 is a half", .say("/2 is a half")), ("/help", .help), ("/?", .help), ("/bye", .leave),
        ("/exit", .leave), ("/system", .showSystem), ("/system none", .setSystem(nil)),
        ("/system  Be brief. ", .setSystem("Be brief.")),
        ("/set system Be brief.", .setSystem("Be brief.")), ("/set", .showSettings),
        ("/set top-p 0.5", .set(name: "top-p", value: "0.5")),
        ("/set stop \n\n", .say("")), ("/retry", .retry), ("/undo", .undo), ("/edit", .edit(nil)),
        ("/edit New words", .edit("New words")), ("/save a b.json", .save("a b.json")),
        ("/load x", .load("x")), ("/tokens", .tokens), ("/clear", .clear),
    ])
    func `lines are messages or commands`(_ line: String, _ wanted: ChatInstruction) throws {
        guard wanted != .say("") else {
            #expect(throws: GenerationError.self) { try ChatInstruction(line) }
            return
        }
        #expect(try ChatInstruction(line) == wanted)
    }

    @Test func `commands that cannot be followed are refused with a hint`() {
        #expect { try ChatInstruction("/hlep") } throws: { "\($0)".contains("/help") }
        for line in ["/save", "/load", "/set temperature", "/unknown words"] {
            #expect(throws: GenerationError.self) { try ChatInstruction(line) }
        }
    }

    @Test func `every command of the list is one`() throws {
        for (usage, _) in ChatInstruction.commands {
            let word = usage.split(separator: " ")[0]
            let line = usage.hasSuffix(" FILE") ? "\(word) x" : String(word)
            if case .say = try ChatInstruction(line) { Issue.record("\(line) is a message") }
        }
    }

    @Test func `lines between marks are one message`() {
        var lines = ChatLines()
        #expect(lines.add("one") == "one")
        #expect(lines.add("\"\"\"") == nil && lines.isOpen)
        #expect(lines.add("two") == nil)
        #expect(lines.add("") == nil)
        #expect(lines.add("/three") == nil)
        #expect(lines.add("\"\"\"") == "two\n\n/three")
        #expect(lines.add("\"\"\"four\"\"\"") == "four" && !lines.isOpen)
        #expect(lines.add("\"\"\"five") == nil)
        #expect(lines.add("six\"\"\"") == "five\nsix")
        #expect(lines.finish() == nil)
        #expect(lines.add("\"\"\"seven") == nil)
        #expect(lines.finish() == "seven" && !lines.isOpen)
    }

    @Test func `settings are changed by name, and not when they are wrong`() throws {
        var parameters = GenerationParameters()
        for (name, value) in [
            ("temperature", "0.5"), ("top_k", "7"), ("top-p", "0.25"), ("min-p", "0.125"),
            ("typical-p", "0.75"), ("repeat-penalty", "1.5"), ("presence-penalty", "-1"),
            ("frequency_penalty", "2"), ("seed", "9"), ("stop", "END"), ("stop", "two words"),
        ] { try parameters.set(name, to: value) }
        #expect(parameters.temperature == 0.5 && parameters.topK == 7 && parameters.topP == 0.25)
        #expect(parameters.minP == 0.125 && parameters.typicalP == 0.75)
        #expect(parameters.repetitionPenalty == 1.5 && parameters.presencePenalty == -1)
        #expect(parameters.frequencyPenalty == 2 && parameters.seed == 9)
        #expect(parameters.stop == ["END", "two words"])
        let before = parameters
        for (name, value) in [
            ("temperature", "3"), ("temperature", "warm"), ("top-k", "-7"), ("top-p", "nan"),
            ("seed", "1.5"), ("min-p", "1e99"), ("tempo", "1"),
        ] {
            #expect(throws: GenerationError.self) { try parameters.set(name, to: value) }
        }
        #expect(parameters == before)
        #expect { try parameters.set("temperatur", to: "1") } throws: {
            "\($0)".contains("temperature")
        }
        try parameters.set("stop", to: "none")
        try parameters.set("seed", to: "random")
        #expect(parameters.stop.isEmpty && parameters.seed == nil)
    }

    @Test func `a conversation comes back from its document`() throws {
        let conversation = ChatConversation(
            system: "Be brief.",
            turns: [
                .init(question: "Is it \"so\"?\n", answer: "Yes.", thoughts: "Hm."),
                .init(question: "Why?"),
            ])
        let text = JSONWriter.text(conversation.document, layout: .indented(2))
        let node = try JSONParser.parse(Array(text.utf8))
        #expect(try ChatConversation(document: ConfigCursor(node)) == conversation)
        let list = ConfigNode(conversation.messages())
        #expect(try ChatConversation(document: ConfigCursor(list)) == conversation)
    }

    @Test(arguments: [
        #"{}"#, #"{"messages": 1}"#, #"[{"role": "assistant", "content": "x"}]"#,
        #"[{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]"#,
        #"[{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]"#,
        #"[{"role": "user"}]"#, #"[{"content": "x"}]"#, #"[{"role": "user", "content": [1]}]"#,
        #"[{"role": "tool", "content": "x"}]"#, #"[3]"#,
    ])
    func `documents that are no conversation are refused`(_ text: String) throws {
        let node = try JSONParser.parse(Array(text.utf8))
        #expect(throws: ConfigError.self) { try ChatConversation(document: ConfigCursor(node)) }
    }

    @Test func `a model's recommendation is taken whole, or chats have their own`() throws {
        func defaults(_ text: String) throws -> SamplingDefaults {
            SamplingDefaults(chatWith: try JSONParser.parse(Array(text.utf8)))
        }
        #expect(try defaults(#"{"eos_token_id": 2}"#) == .chat)
        #expect(try defaults("[]") == .chat)
        let given = try defaults(#"{"temperature": 0.6, "top_p": 0.9, "top_k": 20}"#)
        #expect(
            given.temperature == 0.6 && given.topP == 0.9 && given.topK == 20 && given.minP == 0)
        let penalty = try defaults(#"{"repetition_penalty": 1.1, "max_new_tokens": 99}"#)
        #expect(penalty.repetitionPenalty == 1.1 && penalty.maxTokens == 99)
        #expect(penalty.temperature == SamplingDefaults.chat.temperature)
        #expect(SamplingDefaults.chat.minP == 0.05 && SamplingDefaults.greedy.temperature == 0)
    }

    @Test func `the format of thoughts is known by the template`() {
        let qwen = ReasoningFormat.format(inTemplate: "{{ content.split('</think>')[-1] }}")
        #expect(qwen?.name == "qwen3" && qwen?.startsByItself == false)
        #expect(ReasoningFormat.format(inTemplate: "a [/THINK] b")?.name == "mistral")
        #expect(ReasoningFormat.format(inTemplate: "{{ content }}") == nil)
    }
}
