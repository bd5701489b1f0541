// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftGeneration
import Testing

@testable import EftServer

/// Ollama's routes, with the fields that its documentation has.
struct OllamaTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer.shared() }

    static let question = "What is pea soup made of?"
    private static let messages: ConfigNode = [
        ["role": "user", "content": ConfigNode(OllamaTests.question)]
    ]

    /// A greedy request of few tokens.
    private func body(_ changes: ConfigObject) -> ConfigNode {
        var body: ConfigObject = [
            "model": "demo", "options": ["temperature": 0, "num_predict": 12],
        ]
        for entry in changes.entries { body[entry.key] = entry.node }
        return ConfigNode(body)
    }

    private func whole(_ path: String, _ changes: ConfigObject) throws -> ConfigNode? {
        var changes = changes
        changes["stream"] = false
        return try demo.answer(path, body(changes))
    }

    /// The lines of a stream, which is what is sent unless a request says otherwise.
    private func lines(_ path: String, _ changes: ConfigObject) throws -> [ConfigNode?] {
        let response = try demo.post(path, body(changes))
        #expect(response.status == 200, "\(response.text)")
        #expect(response.fields["Content-Type"] == "application/x-ndjson")
        #expect(response.text.hasSuffix("\n"))
        return try response.text.split(separator: "\n").map { try JSONParser.parse(Array($0.utf8)) }
    }

    private func completion(_ changes: ConfigObject = [:]) throws -> ConfigNode? {
        var body: ConfigObject = [
            "messages": OllamaTests.messages, "temperature": 0, "max_tokens": 12,
        ]
        for entry in changes.entries { body[entry.key] = entry.node }
        return try demo.answer("/v1/chat/completions", ConfigNode(body))
    }

    // MARK: Text

    @Test func `a chat says what OpenAI's route says, with Ollama's numbers`() throws {
        let other = try completion()
        let answer = try whole("/api/chat", ["messages": OllamaTests.messages])
        #expect(answer["model"] == "demo")
        #expect(answer["message"]["role"] == "assistant")
        #expect(answer["message"]["content"] == other["choices"][0]["message"]["content"])
        #expect(answer["message"].keys == ["role", "content"])
        #expect(answer["done"] == true)
        #expect(answer["done_reason"] == other["choices"][0]["finish_reason"])
        #expect(answer["prompt_eval_count"] == other["usage"]["prompt_tokens"])
        #expect(answer["eval_count"] == other["usage"]["completion_tokens"])
        #expect(answer["load_duration"] == 0)
        #expect(answer["created_at"].text?.hasSuffix("Z") == true)
        let total = answer["total_duration"].integer ?? 0
        let parts =
            (answer["prompt_eval_duration"].integer ?? 0) + (answer["eval_duration"].integer ?? 0)
        #expect(parts > 0)
        #expect(parts <= total)
    }

    @Test func `a stream comes to the same text, and only its last line has numbers`() throws {
        let answer = try whole("/api/chat", ["messages": OllamaTests.messages])
        let lines = try lines("/api/chat", ["messages": OllamaTests.messages])
        #expect(lines.count > 2)
        #expect(
            lines.map { $0["message"]["content"].text ?? "" }.joined()
                == answer["message"]["content"].text)
        for line in lines.dropLast() {
            #expect(line["done"] == false)
            #expect(line.keys == ["model", "created_at", "message", "done"])
        }
        let last = lines.last ?? nil
        #expect(last["done"] == true)
        #expect(last["message"]["content"] == "")
        for key in ["done_reason", "prompt_eval_count", "eval_count"] {
            #expect(last[key] == answer[key])
        }
        #expect(last["eval_duration"].integer != nil)
    }

    @Test func `a prompt is rendered as a chat, and raw only when it is to be`() throws {
        let other = try completion()["choices"][0]["message"]["content"]
        let answer = try whole("/api/generate", ["prompt": ConfigNode(OllamaTests.question)])
        #expect(answer["response"] == other)
        let streamed = try lines("/api/generate", ["prompt": ConfigNode(OllamaTests.question)])
        #expect(streamed.map { $0["response"].text ?? "" }.joined() == other.text)
        let raw = try whole(
            "/api/generate", ["prompt": ConfigNode(DemoServer.prompt), "raw": true])
        let completed = try demo.complete(["max_tokens": 12])
        #expect(raw["response"] == completed["choices"][0]["text"])
        #expect(raw.keys.contains("context") == false)
        let system = try whole(
            "/api/generate", ["prompt": ConfigNode(OllamaTests.question), "system": "Be short."])
        #expect(
            system["prompt_eval_count"].integer ?? 0 > answer["prompt_eval_count"].integer ?? 0)
    }

    @Test func `a context goes on with the conversation`() throws {
        let first = try whole("/api/generate", ["prompt": ConfigNode(OllamaTests.question)])
        let context = first["context"]
        #expect(
            context.items.count
                == (first["prompt_eval_count"].integer ?? 0) + (first["eval_count"].integer ?? 0))
        let second = try whole(
            "/api/generate", ["prompt": "And why?", "context": try #require(context)])
        let alone = try whole("/api/generate", ["prompt": "And why?"])
        #expect(
            second["prompt_eval_count"].integer
                == context.items.count + (alone["prompt_eval_count"].integer ?? 0))
        #expect(second["context"].items.starts(with: context.items))
        let lines = try lines("/api/generate", ["prompt": ConfigNode(OllamaTests.question)])
        #expect((lines.last ?? nil)["context"] == context)
        #expect(lines.dropLast().allSatisfy { !$0.keys.contains("context") })
    }

    @Test func `the model goes on with a last message of its own`() throws {
        let begun: ConfigNode = [
            ["role": "user", "content": ConfigNode(OllamaTests.question)],
            ["role": "assistant", "content": "Pea soup is"],
        ]
        let answer = try whole("/api/chat", ["messages": begun])
        let other = try completion(["messages": begun, "continue_final_message": true])
        #expect(answer["message"]["content"] == other["choices"][0]["message"]["content"])
        #expect(answer["prompt_eval_count"] == other["usage"]["prompt_tokens"])
    }

    // MARK: Prompts that are too long

    private static let long: [ConfigNode] =
        [["role": "system", "content": "Be short."]]
        + (0..<12).flatMap { turn -> [ConfigNode] in
            [
                ["role": "user", "content": ConfigNode("What is pea soup number \(turn)?")],
                ["role": "assistant", "content": ConfigNode("Soup of kind \(turn).")],
            ]
        } + [["role": "user", "content": ConfigNode(OllamaTests.question)]]

    @Test func `the oldest messages give way, and no more than must`() throws {
        let count = { (messages: [ConfigNode]) in
            try self.completion(["messages": ConfigNode(messages)])["usage"]["prompt_tokens"]
                .integer ?? 0
        }
        let (system, rest) = (Array(Self.long[..<1]), Array(Self.long[1...]))
        for context in [60, 100, 200] {
            let answer = try whole(
                "/api/chat",
                [
                    "messages": ConfigNode(Self.long),
                    "options": [
                        "num_ctx": ConfigNode(context), "num_predict": 12, "temperature": 0,
                    ],
                ])
            let tokens = try #require(answer["prompt_eval_count"].integer)
            #expect(tokens <= context - 12)
            let kept = try #require(
                try (1...rest.count).last { try count(system + rest.suffix($0)) == tokens })
            let other = try completion(["messages": ConfigNode(system + rest.suffix(kept))])
            #expect(answer["message"]["content"] == other["choices"][0]["message"]["content"])
            #expect(try count(system + rest.suffix(kept + 1)) > context - 12)
        }
        let whole = try whole("/api/chat", ["messages": ConfigNode(Self.long)])
        #expect(try whole["prompt_eval_count"].integer == count(Self.long))
    }

    @Test func `a long prompt keeps its beginning and its end`() throws {
        let numbers = (0..<300).map { "\($0)" }.joined(separator: " ")
        for (kept, expected) in [(nil, 4), (10, 10), (0, 0), (-1, 51), (400, 51)] as [(Int?, Int)] {
            var options: ConfigObject = ["num_ctx": 64, "num_predict": 12, "temperature": 0]
            if let kept { options["num_keep"] = ConfigNode(kept) }
            let answer = try whole(
                "/api/generate",
                ["prompt": ConfigNode(numbers), "raw": true, "options": ConfigNode(options)])
            let all = try demo.model.encode(numbers, addSpecialTokens: true)
            let cut = Array(all[..<expected]) + all.suffix(52 - expected)
            #expect(answer["prompt_eval_count"].integer == 52)
            let other = try demo.complete([
                "prompt": ConfigNode(cut.map { ConfigNode(Int($0)) }), "max_tokens": 12,
            ])
            #expect(answer["response"] == other["choices"][0]["text"])
        }
    }

    @Test func `nothing to answer is a request to load the model`() throws {
        for (path, changes) in [
            ("/api/chat", ["messages": []]), ("/api/chat", [:]),
            ("/api/generate", ["prompt": ""]), ("/api/generate", [:]),
        ] as [(String, ConfigObject)] {
            let loaded = try demo.answer(path, body(changes))
            #expect(loaded["done"] == true)
            #expect(loaded["done_reason"] == "load")
            var unloading = changes
            unloading["keep_alive"] = 0
            #expect(try demo.answer(path, body(unloading))["done_reason"] == "unload")
        }
    }

    // MARK: Settings

    @Test func `options are read under Ollama's names`() throws {
        let seeded: ConfigObject = [
            "messages": OllamaTests.messages,
            "options": [
                "temperature": 1.5, "seed": 7, "top_k": 20, "top_p": 0.95, "min_p": 0.01,
                "typical_p": 0.9, "repeat_penalty": 1.2, "presence_penalty": 0.5,
                "frequency_penalty": 0.25, "num_predict": 20, "num_ctx": 4096, "num_keep": 4,
                "mirostat": 0, "unknown": "x", "stop": ["zzzz"],
            ],
        ]
        let other = try completion([
            "temperature": 1.5, "seed": 7, "top_k": 20, "top_p": 0.95, "min_p": 0.01,
            "typical_p": 0.9, "repetition_penalty": 1.2, "presence_penalty": 0.5,
            "frequency_penalty": 0.25, "max_tokens": 20, "stop": ["zzzz"],
        ])
        let answer = try whole("/api/chat", seeded)
        #expect(answer["message"]["content"] == other["choices"][0]["message"]["content"])
        #expect(answer["eval_count"] == other["usage"]["completion_tokens"])
    }

    @Test func `a stop string ends the answer`() throws {
        let prompt: ConfigObject = ["prompt": ConfigNode(DemoServer.prompt), "raw": true]
        let text = try #require(try whole("/api/generate", prompt)["response"].text)
        let word = try #require(text.split(separator: " ").dropFirst().first.map(String.init))
        var changes = prompt
        changes["options"] = ["temperature": 0, "num_predict": 12, "stop": [ConfigNode(word)]]
        let stopped = try whole("/api/generate", changes)
        #expect(stopped["done_reason"] == "stop")
        #expect(stopped["response"].text?.contains(word) == false)
        #expect(text.hasPrefix(stopped["response"].text ?? "?"))
    }

    @Test func `numbers beyond their range count as its end`() throws {
        let usual = try whole("/api/chat", ["messages": OllamaTests.messages])
        for (key, value) in [
            ("temperature", -1), ("top_k", 1), ("top_p", 0), ("min_p", 7),
        ] as [(String, ConfigNode)] {
            let answer = try whole(
                "/api/chat",
                [
                    "messages": OllamaTests.messages,
                    "options": ConfigNode(
                        ["num_predict": 12, "seed": 3, key: value] as ConfigObject),
                ])
            // Each of them leaves the likeliest token alone.
            #expect(answer["message"]["content"] == usual["message"]["content"], "\(key)")
        }
        let all = try whole(
            "/api/chat",
            [
                "messages": OllamaTests.messages,
                "options": ["temperature": 0, "num_predict": -1, "top_k": -5, "top_p": 3],
            ])
        let other = try demo.answer(
            "/v1/chat/completions", ["messages": OllamaTests.messages, "temperature": 0])
        #expect(all["message"]["content"] == other["choices"][0]["message"]["content"])
    }

    @Test func `a request without settings has the author's, or Ollama's`() throws {
        let own = SamplingDefaults.ollama(nil)
        #expect(own.temperature == 0.8)
        #expect(own.topK == 40)
        #expect(own.topP == 0.9)
        #expect(own.repetitionPenalty == 1)
        let silent = SamplingDefaults.ollama(["eos_token_id": 2, "repetition_penalty": 1.25])
        #expect(silent.temperature == 0.8)
        #expect(silent.topK == 40)
        #expect(silent.repetitionPenalty == 1.25)
        let author = SamplingDefaults.ollama(["temperature": 0.25])
        #expect(author.temperature == 0.25)
        #expect(author.topK == 0)
        #expect(author.topP == 1)
        // OpenAI's routes: theirs.
        let openAI = SamplingDefaults(generationConfig: ["eos_token_id": 2])
        #expect(openAI.temperature == 1)
        #expect(openAI.topP == 1)
        #expect(openAI.topK == 0)
    }

    @Test func `answers have the form that was asked for`() throws {
        let schema: ConfigNode = [
            "type": "object", "required": ["kind"], "additionalProperties": false,
            "properties": ["kind": ["enum": ["a", 7]]],
        ]
        let options: ConfigNode = ["temperature": 1, "seed": 2, "num_predict": 200]
        for path in ["/api/chat", "/api/generate"] {
            var changes: ConfigObject = ["format": schema, "options": options]
            changes[path == "/api/chat" ? "messages" : "prompt"] =
                path == "/api/chat" ? OllamaTests.messages : ConfigNode(OllamaTests.question)
            let answer = try whole(path, changes)
            let text = answer["message"]["content"].text ?? answer["response"].text ?? ""
            let object: ConfigNode? = try JSONParser.parse(Array(text.utf8))
            #expect(object.keys == ["kind"])
            changes["format"] = "json"
            let free = try whole(path, changes)
            let begun = free["message"]["content"].text ?? free["response"].text ?? ""
            #expect(begun.hasPrefix("{"))
            changes["format"] = ""
            #expect(try whole(path, changes)["done"] == true)
        }
    }

    @Test func `log-probabilities come with the tokens`() throws {
        let answer = try whole(
            "/api/chat", ["messages": OllamaTests.messages, "logprobs": true, "top_logprobs": 2])
        let other = try completion(["logprobs": true, "top_logprobs": 2])
        #expect(answer["logprobs"] == other["choices"][0]["logprobs"]["content"])
        let lines = try lines(
            "/api/generate", ["prompt": ConfigNode(OllamaTests.question), "logprobs": true])
        #expect(
            lines.reduce(0) { $0 + $1["logprobs"].items.count }
                == (lines.last ?? nil)["eval_count"].integer)
    }

    // MARK: Thoughts and tools

    @Test func `thoughts stand apart from what is said, unless they are not wanted`() throws {
        let schema: ConfigObject = [
            "messages": [
                ["role": "user", "content": "x"],
                ["role": "assistant", "content": "<think>peas</think>soup"],
                ["role": "user", "content": "again"],
            ]
        ]
        // What the model says is not certain; what becomes of a text that is, the parser's own tests say.
        #expect(try whole("/api/chat", schema)["done"] == true)
        var parser = ChatTextParser(
            after: "", try ToolChoice(RequestFields([:]), tools: [], demo.model),
            keepsReasoning: true, demo.model)
        var found = parser.append("<think>peas</think>soup")
        let rest = parser.finish(isCut: false)
        #expect(found.reasoning + rest.reasoning == "peas")
        #expect(found.content + rest.content == "soup")
        var hidden = ChatTextParser(
            after: nil, try ToolChoice(RequestFields([:]), tools: [], demo.model),
            keepsReasoning: true, demo.model)
        found = hidden.append("<think>peas</think>soup")
        #expect(found.content + hidden.finish(isCut: false).content == "<think>peas</think>soup")
        for think in [true, false, "low", "high"] as [ConfigNode] {
            var changes = schema
            changes["think"] = think
            #expect(try whole("/api/chat", changes)["done"] == true)
        }
    }

    @Test func `messages become what templates render`() throws {
        let read = try OllamaMessages.read([
            ["role": "user", "content": "x", "images": []],
            [
                "role": "assistant", "content": "", "thinking": "hm",
                "tool_calls": [
                    ["function": ["name": "cook", "arguments": ["name": "leek", "count": 4]]]
                ],
            ],
            ["role": "tool", "tool_name": "cook", "content": "done"],
        ])
        #expect(read[0] == ["role": "user", "content": "x"])
        #expect(
            read[1] == [
                "role": "assistant", "content": "", "reasoning_content": "hm",
                "tool_calls": [
                    [
                        "type": "function",
                        "function": ["name": "cook", "arguments": ["name": "leek", "count": 4]],
                    ]
                ],
            ])
        #expect(read[2] == ["role": "tool", "content": "done", "name": "cook"])
    }

    // MARK: Vectors

    @Test func `vectors are those of OpenAI's route`() throws {
        let other = try demo.answer("/v1/embeddings", ["input": ["peas", "leek soup"]])
        let answer = try demo.answer("/api/embed", ["input": ["peas", "leek soup"]])
        #expect(answer["embeddings"].items.count == 2)
        for place in 0..<2 {
            #expect(answer["embeddings"][place] == other["data"][place]["embedding"])
        }
        #expect(answer["prompt_eval_count"] == other["usage"]["prompt_tokens"])
        #expect(answer["model"] == "demo")
        #expect(answer["total_duration"].integer ?? 0 > 0)
        let one = try demo.answer("/api/embed", ["model": "demo", "input": "peas"])
        #expect(one["embeddings"][0] == answer["embeddings"][0])
        let older = try demo.answer("/api/embeddings", ["model": "demo", "prompt": "peas"])
        #expect(older == ["embedding": try #require(answer["embeddings"][0])])
        let short = try demo.answer("/api/embed", ["input": "peas", "dimensions": 3])
        #expect(short["embeddings"][0].items.count == 3)
    }

    @Test func `a long text is cut where it may be`() throws {
        let long = ConfigNode(String(repeating: "pea ", count: 2000))
        let cut = try demo.answer("/api/embed", ["input": long])
        #expect(cut["prompt_eval_count"] == 512)
        #expect(cut["embeddings"].items.count == 1)
        let refused = try demo.post("/api/embed", ["input": long, "truncate": false])
        #expect(refused.status == 400)
        #expect(refused.value("error").text?.contains("512") == true)
        #expect(try demo.answer("/api/embed", ["input": ""])["embeddings"] == [])
        #expect(try demo.answer("/api/embeddings", ["prompt": ""]) == ["embedding": []])
    }
}
