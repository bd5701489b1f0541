// SPDX-License-Identifier: Apache-2.0
import EftConfig
import Testing

@testable import EftServer

struct ChatTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer.shared() }

    private static let tools: ConfigNode = [
        [
            "type": "function",
            "function": [
                "name": "cook",
                "parameters": [
                    "type": "object", "required": ["name", "count"], "additionalProperties": false,
                    "properties": [
                        "name": ["enum": ["pea", "leek"]],
                        "count": ["type": "integer", "minimum": 0, "maximum": 99],
                    ],
                ],
            ],
        ],
        [
            "type": "function",
            "function": [
                "name": "rest",
                "parameters": [
                    "type": "object", "properties": ["long": ["type": "boolean"]],
                    "required": ["long"], "additionalProperties": false,
                ],
            ],
        ],
    ]

    private static let call = """
        <tool_call>
        {"name": "cook", "arguments": {"name": "leek", "count": 4}}
        </tool_call>
        """

    private func body(_ changes: ConfigObject) -> ConfigObject {
        var body: ConfigObject = [
            "messages": [["role": "user", "content": "What is pea soup made of?"]],
            "temperature": 0, "max_completion_tokens": 12,
        ]
        for entry in changes.entries { body[entry.key] = entry.node }
        return body
    }

    private func chat(_ changes: ConfigObject = [:]) throws -> ConfigNode? {
        try demo.answer("/v1/chat/completions", ConfigNode(body(changes)))
    }

    @Test func `a chat has the fields of OpenAI's`() throws {
        let answer = try chat(["logprobs": true, "top_logprobs": 2])
        #expect(answer["id"].text?.hasPrefix("chatcmpl-") == true)
        #expect(answer["object"] == "chat.completion")
        let choice = answer["choices"][0]
        #expect(choice["message"]["role"] == "assistant")
        #expect(choice["message"]["refusal"].isNull)
        #expect(choice["message"].keys.contains("tool_calls") == false)
        let entries = choice["logprobs"]["content"].items
        #expect(entries.count == answer["usage"]["completion_tokens"].integer)
        for entry in entries.map({ Optional($0) }) {
            #expect(entry["top_logprobs"].items.count == 2)
            #expect(entry["top_logprobs"][0]["logprob"] == entry["logprob"])
            let bytes = entry["bytes"].items.compactMap { Optional($0).integer.map { UInt8($0) } }
            #expect(String(decoding: bytes, as: UTF8.self) == entry["token"].text)
        }
    }

    @Test func `a stream names the role first and comes to the same text`() throws {
        let whole = try chat(["n": 2, "temperature": 1, "seed": 4])
        let events = try demo.events(
            "/v1/chat/completions", body(["n": 2, "temperature": 1, "seed": 4]))
        var texts = ["", ""]
        var reasons: [ConfigNode?] = [nil, nil]
        var hasBegun: Set<Int> = []
        for event in events {
            #expect(event["object"] == "chat.completion.chunk")
            let choice = event["choices"][0]
            let place = choice["index"].integer ?? 0
            let isFirst = hasBegun.insert(place).inserted
            #expect((choice["delta"]["role"] == "assistant") == isFirst)
            texts[place] += choice["delta"]["content"].text ?? ""
            if !choice["finish_reason"].isNull { reasons[place] = choice["finish_reason"] }
        }
        for place in 0..<2 {
            #expect(texts[place] == whole["choices"][place]["message"]["content"].text)
            #expect(reasons[place] == whole["choices"][place]["finish_reason"])
        }
    }

    @Test func `a message that is gone on with may be repeated`() throws {
        let answer = try chat([
            "messages": [
                ["role": "user", "content": "Say it"],
                ["role": "assistant", "content": "Pea soup is"],
            ],
            "continue_final_message": true, "echo": true,
        ])
        #expect(answer["choices"][0]["message"]["content"].text?.hasPrefix("Pea soup is") == true)
    }

    @Test(arguments: [1, 2, 3]) func `a forced call fits its tool`(seed: Int) throws {
        let answer = try chat([
            "tools": ChatTests.tools, "tool_choice": "required", "temperature": 1,
            "seed": ConfigNode(seed), "max_completion_tokens": 200, "parallel_tool_calls": false,
        ])
        let choice = answer["choices"][0]
        #expect(choice["finish_reason"] == "tool_calls")
        #expect(choice["message"]["tool_calls"].items.count == 1)
        let function = choice["message"]["tool_calls"][0]["function"]
        #expect(["cook", "rest"].contains(function["name"].text))
        let arguments: ConfigNode? = try JSONParser.parse(
            Array((function["arguments"].text ?? "").utf8))
        if function["name"] == "cook" {
            #expect(["pea", "leek"].contains(arguments["name"].text))
            #expect((0...99).contains(arguments["count"].integer ?? -1))
        }
        let named = try chat([
            "tools": ChatTests.tools, "temperature": 1, "seed": ConfigNode(seed),
            "tool_choice": ["type": "function", "function": ["name": "cook"]],
            "max_completion_tokens": 200,
        ])["choices"][0]
        #expect(named["message"]["tool_calls"][0]["function"]["name"] == "cook")
        #expect(named["finish_reason"] == "stop")
    }

    @Test func `a call that the model writes by itself is found, also in a stream`() throws {
        let changes: ConfigObject = [
            "tools": ChatTests.tools, "max_completion_tokens": 200,
            "structured_outputs": ["choice": [ConfigNode(ChatTests.call)]],
        ]
        let choice = try chat(changes)["choices"][0]
        #expect(choice["finish_reason"] == "tool_calls")
        #expect(choice["message"]["content"].isNull)
        let call = choice["message"]["tool_calls"][0]
        #expect(call["type"] == "function")
        #expect(call["function"]["name"] == "cook")
        var (name, arguments, ids) = ("", "", 0)
        for event in try demo.events("/v1/chat/completions", body(changes)) {
            let part = event["choices"][0]["delta"]["tool_calls"][0]
            name += part["function"]["name"].text ?? ""
            arguments += part["function"]["arguments"].text ?? ""
            if part["id"].text != nil { ids += 1 }
        }
        #expect(name == "cook")
        #expect(arguments == call["function"]["arguments"].text)
        #expect(ids == 1)
        let none = try chat(["tools": ChatTests.tools, "tool_choice": "none"])["choices"][0]
        #expect(none["message"].keys.contains("tool_calls") == false)
    }

    @Test func `thoughts are told apart from what is said`() throws {
        let thought: ConfigObject = [
            "max_completion_tokens": 60,
            "structured_outputs": ["choice": ["<think>peas</think>soup"]],
        ]
        let answer = try chat(thought)
        #expect(answer["choices"][0]["message"]["reasoning"] == "peas")
        #expect(answer["choices"][0]["message"]["content"] == "soup")
        let counted = answer["usage"]["completion_tokens_details"]["reasoning_tokens"].integer ?? 0
        #expect(counted > 0)
        #expect(counted < answer["usage"]["completion_tokens"].integer ?? 0)
        var hidden = thought
        hidden["include_reasoning"] = false
        #expect(try chat(hidden)["choices"][0]["message"]["reasoning"].isNull)
    }

    @Test func `answers have the form that was asked for`() throws {
        let object = try chat([
            "temperature": 1, "seed": 2, "max_completion_tokens": 200,
            "response_format": [
                "type": "json_schema",
                "json_schema": [
                    "name": "it",
                    "schema": [
                        "type": "object", "required": ["kind"], "additionalProperties": false,
                        "properties": ["kind": ["enum": ["a", 7]]],
                    ],
                ],
            ],
        ])["choices"][0]["message"]["content"].text
        let parsed: ConfigNode? = try JSONParser.parse(Array((object ?? "").utf8))
        #expect(parsed.keys == ["kind"])
        #expect(parsed["kind"] == "a" || parsed["kind"] == 7)
        let chosen = try demo.complete([
            "max_tokens": 60, "structured_outputs": ["choice": ["alpha", "beta"]],
        ])["choices"][0]["text"].text
        #expect(["alpha", "beta"].contains(chosen))
        let matched = try demo.complete([
            "max_tokens": 60, "temperature": 1, "seed": 1,
            "structured_outputs": ["regex": "[a-c]{3}-[0-9]{2}"],
        ])["choices"][0]["text"].text
        #expect(matched?.wholeMatch(of: /[a-c]{3}-[0-9]{2}/) != nil)
    }
}
