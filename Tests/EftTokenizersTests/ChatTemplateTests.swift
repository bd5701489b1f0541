// SPDX-License-Identifier: Apache-2.0
// Chat templates against what transformers makes of them.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

struct ChatTemplateTests {
    private static let families = [
        "chatml", "chatml-generation", "command-r-rag", "deepseek-r1", "gemma", "gemma3",
        "hermes2pro-tools", "llama2", "llama3", "llama3.1", "mistral-v1", "mistral-v3",
        "mistral-v7", "phi3", "qwen2.5", "qwen3", "typescript-tools", "vicuna", "zephyr",
    ]

    static func template(_ name: String) throws -> ChatTemplate {
        let path = Fixtures.path("chat/templates/\(name).jinja")
        let source = String(decoding: try ConfigFile.contents(path), as: UTF8.self)
        return try ChatTemplate(
            source, file: path,
            specialTokens: SpecialTokenTexts([("bos_token", "<s>"), ("eos_token", "</s>")]))
    }

    private static func input(
        _ test: ConfigCursor, _ document: ConfigCursor
    ) throws -> ChatInput {
        let chat = try document.required("chats").required(test.required("chat").string())
        var input = ChatInput(messages: try chat.elements().map(\.node))
        if try test.bool("tools", default: false) {
            input.tools = try document.required("tools").elements().map(\.node)
        }
        if try test.bool("documents", default: false) {
            input.documents = try document.required("documents").elements().map(\.node)
        }
        input.addGenerationPrompt = try test.bool("generation", default: false)
        input.continueFinalMessage = try test.bool("continue", default: false)
        if let extra = try test.optional("extra") { input.extra = try extra.object() }
        input.contentFormat = .given
        return input
    }

    @Test func `every template of the fixtures is tested`() throws {
        let names = try Fixtures.list("chat/templates").map { String($0.dropLast(6)) }
        #expect(names.sorted() == Self.families.sorted())
    }

    @Test(arguments: families)
    func `prompts are those of transformers`(family: String) throws {
        let document = try ConfigFile.read(Fixtures.path("chat/inputs.json"))
        let cases = try ConfigFile.read(Fixtures.path("chat/cases/\(family).json"))
        let now = try document.required("now").int()
        let template = try Self.template(family)
        var compared = 0
        for test in try cases.required("cases").elements() {
            let input = try Self.input(test, document)
            compared += 1
            let name = try
                "\(test.required("chat").string()) \(JSONWriter.text(test.node).prefix(90))"
            do {
                let prompt = try template.render(input, now: now)
                let expected = try test.optional("output")?.string()
                #expect(prompt == expected, "\(name)")
            } catch let error as ChatTemplateError {
                let fault = try test.optional("error")?.string()
                #expect(fault != nil, "\(name): \(error)")
                #expect(error.code == .request, "\(name): \(error)")
            }
        }
        #expect(compared >= 25)
    }

    // MARK: Requests

    private static let echo = """
        {%- for m in messages %}[{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}\
        {{ c.function.arguments | tojson }}{% endfor %}{{ m.reasoning_content }}]{% endfor -%}
        {{ bos_token }}{{ flag }}
        """

    private func render(_ input: ChatInput, _ source: String = echo) throws -> String {
        try ChatTemplate(source, specialTokens: SpecialTokenTexts([("bos_token", "<s>")]))
            .render(input)
    }

    private func fault(_ input: ChatInput, _ source: String = echo) -> ChatTemplateError? {
        do {
            _ = try render(input, source)
            return nil
        } catch { return error as? ChatTemplateError }
    }

    @Test func `arguments are parsed before the template sees them`() throws {
        func input(_ arguments: ConfigNode) -> ChatInput {
            ChatInput(messages: [
                [
                    "role": "assistant", "content": "",
                    "tool_calls": [["function": ["name": "f", "arguments": arguments]]],
                ]
            ])
        }
        #expect(try render(input(#"{"a": [1, "x"]}"#)) == #"[assistant:{"a": [1, "x"]}]<s>"#)
        #expect(try render(input(["a": 1])) == #"[assistant:{"a": 1}]<s>"#)
        #expect(try render(input("")) == "[assistant:{}]<s>")
        #expect(try render(input(.null)) == "[assistant:{}]<s>")
        #expect(fault(input("{"))?.code == .request)
        #expect(fault(input(3))?.code == .request)
        let deep = String(repeating: "[", count: 1000)
        #expect(fault(input(ConfigNode(deep)))?.code == .request)
        #expect(
            fault(input("{"))?.message.contains("messages[0].tool_calls[0].function.arguments")
                == true)
    }

    @Test func `thoughts are found under both of their names`() throws {
        for name in ["reasoning", "reasoning_content"] {
            let message: ConfigNode = ["role": "assistant", "content": "a", "thought": "t"]
            guard case .object(var object) = message.value else { continue }
            object[name] = object["thought"]
            #expect(try render(ChatInput(messages: [ConfigNode(object)])) == "[assistant:at]<s>")
        }
    }

    @Test func `contents take the form that the template expects`() throws {
        let parts: ConfigNode = [
            "role": "user",
            "content": [["type": "text", "text": "a"], ["type": "text", "text": "b"]],
        ]
        #expect(try render(ChatInput(messages: [parts])) == "[user:a\nb]<s>")
        let loop =
            "{% for m in messages %}{% for p in m['content'] %}<{{ p.text }}>{% endfor %}{% endfor %}"
        #expect(try render(ChatInput(messages: [parts]), loop) == "<a><b>")
        let text: ConfigNode = ["role": "user", "content": "a"]
        #expect(try render(ChatInput(messages: [text]), loop) == "<a>")
        let image: ConfigNode = [
            "role": "user", "content": [["type": "image_url", "image_url": ["url": "x"]]],
        ]
        #expect(fault(ChatInput(messages: [image]))?.code == .request)
        #expect(fault(ChatInput(messages: [["role": "user", "content": 5]]))?.code == .request)
        let formats = try Self.families.map { try Self.template($0).contentFormat }
        #expect(formats.filter { $0 == .parts }.count == 2)
        #expect(try Self.template("mistral-v7").contentFormat == .parts)
        #expect(try Self.template("gemma3").contentFormat == .parts)
        #expect(try Self.template("qwen3").takesTools)
        #expect(try Self.template("qwen3").asks(for: "enable_thinking"))
        #expect(try !Self.template("chatml").takesTools)
    }

    @Test func `further values may not replace those with a meaning`() throws {
        let message: ConfigNode = ["role": "user", "content": "a"]
        var input = ChatInput(messages: [message], extra: ["flag": true])
        #expect(try render(input) == "[user:a]<s>True")
        for name in [
            "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token",
            "chat_template", "raise_exception", "strftime_now", "namespace", "range", "loop",
        ] {
            input.extra = ConfigObject()
            input.extra[name] = "x"
            #expect(fault(input)?.code == .request, "\(name)")
        }
    }

    @Test func `what a request gets wrong is told apart from a faulty template`() {
        let message: ConfigNode = ["role": "user", "content": "a"]
        let input = ChatInput(messages: [message])
        #expect(fault(input, "{{ raise_exception('no system role') }}")?.code == .request)
        #expect(
            fault(input, "{{ raise_exception('no system role') }}")?.message == "no system role")
        #expect(fault(input, "{{ messages[3].content }}")?.code == .request)
        #expect(fault(input, "{% if %}")?.code == .template)
        #expect(fault(input, "\n{{ 1 | nofilter }}")?.code == .template)
        #expect(fault(input, "\n{{ 1 | nofilter }}")?.line == 2)
        #expect(fault(input, "{{ 'a' * 999999999 }}")?.code == .limit)
        #expect(fault(ChatInput(messages: []))?.code == .request)
        #expect(fault(ChatInput(messages: ["x"]))?.code == .request)
        #expect(fault(ChatInput(messages: [["content": "x"]]))?.code == .request)
        #expect(
            fault(ChatInput(messages: [message], continueFinalMessage: true))?.code == .request)
    }

    // MARK: Folders

    @Test func `a folder's templates are found wherever they are kept`() throws {
        let message: ConfigNode = ["role": "user", "content": "a"]
        let folder = try TemporaryFolder()
        func text(_ name: String? = nil, tools: Bool = false) throws -> String {
            try ChatTemplates.load(folder: folder.path).template(named: name, hasTools: tools)
                .render(ChatInput(messages: [message]))
        }
        #expect(throws: ChatTemplateError.self) { try text() }
        try folder.write("chat_template.json", #"{"chat_template": "json"}"#)
        #expect(try text() == "json")
        try folder.write(
            "tokenizer_config.json",
            #"{"bos_token": {"content": "<b>"}, "eos_token": "<e>", "pad_token": null, "chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}"}"#
        )
        try folder.write("special_tokens_map.json", #"{"eos_token": "no", "unk_token": "<u>"}"#)
        #expect(try text() == "<b><e><u>")
        try folder.write(
            "tokenizer_config.json",
            #"{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]}"#
        )
        #expect(try text() == "D")
        #expect(try text(tools: true) == "T")
        #expect(try text("rag", tools: true) == "R")
        #expect(throws: ChatTemplateError.self) { try text("nothing") }
        try folder.write("chat_template.jinja", "file")
        #expect(try text() == "file")
        #expect(try text(tools: true) == "file")
        try FileSystem.createFolder(folder.file("additional_chat_templates"))
        try folder.write("additional_chat_templates/rag.jinja", "more")
        #expect(try text("rag") == "more")
        #expect(try ChatTemplates.load(folder: folder.path).names == ["default", "rag"])
        try folder.write("chat_template.jinja", [0x7B, 0xFF])
        #expect(throws: ChatTemplateError.self) { try text() }
    }

    @Test func `no altered message makes it crash`() throws {
        let document = try ConfigFile.read(Fixtures.path("chat/inputs.json"))
        let chats = try document.required("chats").object().entries.map(\.node)
        let tools = try document.required("tools").node
        let templates = try Self.families.map { try Self.template($0) }
        var random = SplitMix64(seed: 61)
        var (rendered, refused) = (0, 0)
        for round in 0..<6000 {
            guard case .array(let messages) = random.mutated(chats[round % chats.count]).value
            else { continue }
            var input = ChatInput(messages: messages)
            if round % 3 == 0, case .array(let altered) = random.mutated(tools).value {
                input.tools = altered
            }
            input.continueFinalMessage = round % 5 == 0
            input.addGenerationPrompt = !input.continueFinalMessage
            do {
                _ = try templates[round % templates.count].render(input)
                rendered += 1
            } catch {
                #expect(error.code == .request, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(rendered > 500 && refused > 500)
    }
}
