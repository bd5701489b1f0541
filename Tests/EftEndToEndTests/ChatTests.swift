// SPDX-License-Identifier: Apache-2.0
// Talking with a model: by run, in a pipe, and on a terminal.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@Suite struct ChatTests {
    private static let model = "Examples/demo/model"
    /// The demo's model has no template of its own.
    private static let template = """
        {%- for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor -%}
        {%- if add_generation_prompt %}{{ 'assistant:' }}{% endif -%}
        """

    private struct Setting {
        let folder: TemporaryFolder
        let template: [String]

        init() throws {
            folder = try TemporaryFolder()
            template = ["--chat-template", try folder.write("chat.jinja", ChatTests.template)]
        }
    }

    private func object(_ program: Program) throws -> ConfigCursor {
        try #require(program.status == 0, "\(program.errors)")
        return ConfigCursor(try JSONParser.parse(program.output))
    }

    // MARK: run

    @Test func `a template frames the prompt, and raw text is continued`() throws {
        let setting = try Setting()
        let common = ["--temperature", "0", "-t", "12", "--json"]
        func run(_ words: [String]) throws -> ConfigCursor {
            try object(Program(["run", Self.model] + words + common))
        }
        let answer = try run(["Who comes?", "--system", "Be brief."] + setting.template)
        let framed = try run([
            "--raw", "--no-bos", "-p", "system: Be brief.\nuser: Who comes?\nassistant:",
        ])
        #expect(
            try answer.required("text").string() == framed.required("text").string())
        #expect(
            try answer.required("prompt_tokens").int() == framed.required("prompt_tokens").int())
        let raw = try run(["Who comes?", "--raw"] + setting.template)
        #expect(try raw.required("prompt_tokens").int() < answer.required("prompt_tokens").int())
    }

    @Test func `a prompt may be an argument, an option, a file or a pipe`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("prompt", "One day\n")
        let common = ["-t", "6", "--json"]
        let wanted = try object(Program(["run", "-m", Self.model, "-p", "One day"] + common))
            .required("text").string()
        for (words, input) in [
            (["run", Self.model, "One day"], nil), (["run", "-m", Self.model, "One day"], nil),
            (["run", Self.model, "-f", file], nil),
            (["run", Self.model, "-p", "-"], "One day\n"),
            (["test_inference", "-m", Self.model], "One day\r\n"),
        ] as [([String], String?)] {
            let text = try object(Program(words + common, input: input)).required("text").string()
            #expect(text == wanted, "\(words)")
        }
    }

    @Test func `what cannot be answered is refused in plain words`() throws {
        let setting = try Setting()
        for (words, reason) in [
            (["-p", ""], "the prompt is empty"), ([], "the prompt is empty"),
            (["-p", "x", "--system", "y"], "chat template"),
            (["-p", "x", "--system", "y", "--raw"], "--raw"),
            (["-p", "x", "-l", "4096"], "512"),
            (["-p", String(repeating: "word ", count: 600)], "512"),
            (["-p", "x", "-t", "0"], "at least 1"), (["-p", "x", "-ed", "f"], "eft eval"),
            (["-p", "x", "-cq4", "-cq8"], "-cq8"),
            (["-p", "x", "-cq4", "--kv-cache-dtype", "f32"], "--kv-cache-dtype"),
        ] as [([String], String)] {
            let program = try Program(["run", "-m", Self.model] + words)
            #expect(program.status == 2, "\(words)")
            #expect(program.errors.contains(reason), "\(words): \(program.errors)")
            #expect(program.output.isEmpty && !program.errors.contains("no-bos"))
        }
        let both = try Program(["run", "-m", Self.model, "a", "b"])
        #expect(both.status == 2 && both.errors.contains("twice"))
        let missing = try Program("chat")
        #expect(missing.status == 2 && missing.errors.contains("the model is missing"))
        let bare = try Program("chat", Self.model)
        #expect(bare.status == 2 && bare.errors.contains("--chat-template"))
        let pipe = try Program(["chat", Self.model] + setting.template)
        #expect(pipe.status == 0 && pipe.output.isEmpty)
    }

    @Test func `a run says where it was cut, and never passes the context`() throws {
        let cut = try Program("run", Self.model, "One day", "-t", "5")
        #expect(cut.status == 0 && cut.errors.contains("cut at 5 tokens (-t)"))
        let long = ["run", Self.model, "One day", "--ignore-eos", "-t"]
        let clamped = try Program(long + ["9000"])
        #expect(
            clamped.errors.contains("leaves 509") && clamped.errors.contains("of 512 tokens ends"))
        let most = try object(Program(long + ["-1", "--json"]))
        #expect(try most.required("tokens").elements().count == 509)
        #expect(try most.required("finish_reason").string() == "length")
    }

    @Test func `a stop string ends a run, and a seed repeats it`() throws {
        let common = ["run", Self.model, "One day", "-t", "40", "--json"]
        let whole = try object(Program(common)).required("text").string()
        let stop = String(whole.dropFirst(20).prefix(5))
        let stopped = try object(Program(common + ["--stop", stop]))
        #expect(try whole.hasPrefix(stopped.required("text").string() + stop))
        #expect(try stopped.required("finish_reason").string() == "stop")
        let sampled = common + ["--temp", "1", "--seed"]
        let (one, same, other) = try (
            object(Program(sampled + ["1"])), object(Program(sampled + ["1"])),
            object(Program(sampled + ["2"]))
        )
        #expect(try one.required("text").string() == same.required("text").string())
        #expect(try one.required("text").string() != other.required("text").string())
        #expect(try one.required("seed").int() == 1)
    }

    @Test func `options without effect are named once`() throws {
        let program = try Program(
            "run", "-m", Self.model, "-p", "One day", "-t", "2", "-nwu", "-ngl", "99", "-cq8",
            "-gs", "auto")
        #expect(program.status == 0, "\(program.errors)")
        let notices = program.errors.split(separator: "\n").filter { $0.contains("no effect") }
        #expect(notices.count == 1)
        #expect(notices.first?.contains("note: no effect here: -nwu (") == true)
        #expect(notices.first?.contains("; -ngl (") == true)
    }

    @Test func `speeds are shown for each length`() throws {
        let program = try Program("run", "-m", Self.model, "-ps", "-s", "-l", "300")
        let lines = program.output.split(separator: "\n")
        #expect(program.status == 0 && lines.allSatisfy { $0.hasSuffix(" t/s") })
        #expect(
            lines.map { $0.prefix { $0 != ":" } } == [
                " ** Length   128 tokens", " ** Length   256 tokens", " ** Length   299 tokens",
                " ** Position     0 + 128 tokens", " ** Position   128 + 128 tokens",
                " ** Position   256 + 43 tokens",
            ])
    }

    // MARK: chat

    @Test func `each line of a pipe is a message, and commands are obeyed`() throws {
        let setting = try Setting()
        let file = setting.folder.file("saved.json")
        let lines = """
            Who comes home?
            /set stats on
            \"""
            What does
            the fox do?
            \"""
            /tokens
            /save \(file)
            /undo
            /undo
            /load \(file)
            /retry
            /bye
            never read
            """
        let program = try Program(
            ["chat", Self.model, "--temperature", "0", "-t", "8", "--system", "Be brief."]
                + setting.template, input: lines)
        #expect(program.status == 0, "\(program.errors)")
        let saved = ConfigCursor(try JSONParser.parse(FileSystem.read(file)))
        let messages = try saved.required("messages").elements()
        func contents(_ role: String) throws -> [String] {
            try messages.filter { try $0.required("role").string() == role }
                .map { try $0.required("content").string() }
        }
        #expect(try contents("system") == ["Be brief."])
        #expect(try contents("user") == ["Who comes home?", "What does\nthe fox do?"])
        let answers = try contents("assistant")
        // The last answer is given again, and nothing but answers is on standard output.
        #expect(program.output == (answers + answers.suffix(1)).map { $0 + "\n" }.joined())
        for words in [
            "2 turns are written", "taken back: Who", "2 turns are read", " cached)",
            "of 512 tokens",
        ] {
            #expect(program.errors.contains(words), "\(words): \(program.errors)")
        }
    }

    @Test func `a message that is not answered does not end the chat, but its status`() throws {
        let setting = try Setting()
        let long = String(repeating: "word ", count: 600)
        let program = try Program(
            ["chat", Self.model, "-t", "4"] + setting.template,
            input: "\(long)\n/nothing\n/set adapter law\n/set tempo 1\n/load /nowhere\nHello\n")
        #expect(program.status == 1)
        #expect(!program.output.isEmpty)
        for words in [
            "the context holds 512", "no command /nothing", "no adapter", "no setting", "/nowhere",
            "5 messages",
        ] {
            #expect(program.errors.contains(words), "\(words): \(program.errors)")
        }
    }

    @Test func `lines are edited on a terminal, and Ctrl-C stops an answer that stays`() throws {
        let setting = try Setting()
        let file = setting.folder.file("saved.json")
        let terminal = try TerminalProgram(
            ["chat", Self.model, "--ignore-eos", "--threads", "1", "--no-history"]
                + setting.template)
        try terminal.wait(for: ">>> ")
        terminal.type("Hellp\u{7F}o\n")
        // The answer has begun once its first words are on a line of their own.
        try terminal.wait {
            $0.split(separator: "\n").last.map { !$0.contains(">>>") && $0.count > 8 } ?? false
        }
        terminal.interrupt()
        try terminal.wait(for: "stopped")
        terminal.type("/save \(file)\n")
        try terminal.wait(for: "written")
        terminal.type("never sent")
        try terminal.wait(for: "never sent")
        terminal.interrupt()
        // The greeting speaks of leaving too, and keys count once the next line is read.
        try terminal.wait { $0.contains("/bye leaves") && $0.hasSuffix(">>> ") }
        terminal.type("\u{04}")
        #expect(terminal.status() == 0)
        let messages = try ConfigCursor(JSONParser.parse(FileSystem.read(file)))
            .required("messages").elements()
        #expect(try messages[0].required("content").string() == "Hello")
        #expect(try !messages[1].required("content").string().isEmpty)
        #expect(messages.count == 2)
    }
}
