// SPDX-License-Identifier: Apache-2.0
// Tool calls in the text of models, whole and in pieces.
import EftConfig
import EftFormats
import EftGeneration
import EftServer
import EftTensor
import EftTestSupport
import Testing

struct ToolCallFormatTests {
    /// Format, text and what is in it.
    typealias Case = (format: String, text: String, expected: ExpectedAnswer)

    private static let weather = #"{"city": "Zürich \"😀\" }]<x>", "days": 2, "n": {"a": [1, {}]}}"#

    static let hermes: [Case] = [
        ("hermes", "Hello <b>you</b>.\n", .init("Hello <b>you</b>.\n")),
        ("hermes", "", .init()), ("hermes", " \n", .init(" \n")),
        (
            "hermes",
            "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": \(weather)}\n</tool_call>",
            .init("Let me see.\n", [("get_weather", weather)])
        ),
        (
            "hermes",
            "<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"arguments\":{\"x\":1},\"name\":\"b\"}</tool_call>\n",
            .init("", [("a", "{}"), ("b", "{\"x\":1}")])
        ),
        ("hermes", "<tool_call>{\"name\":\"a\"}</tool_call> done", .init(" done", [("a", "{}")])),
        (
            "hermes", "<tool_call>{\"name\":\"a\",\"arguments\":null}</tool_call>",
            .init("", [("a", "{}")])
        ),
        (
            "hermes", "<tool_call>{\"name\":\"a\",\"arguments\":\"{\\\"x\\\": 1}\"}</tool_call>",
            .init("", [("a", "{\"x\": 1}")])
        ),
        (
            "hermes",
            "<tool_call>{\"type\":\"function\",\"name\":\"a\\u0062\",\"extra\":[1,\"}\"],\"parameters\":{\"y\":true}}</tool_call>",
            .init("", [("ab", "{\"y\":true}")])
        ),
        (
            "hermes",
            "<tool_call>[{\"name\":\"a\",\"arguments\":{}}, {\"name\":\"b\",\"arguments\":{}}]</tool_call>",
            .init("", [("a", "{}"), ("b", "{}")])
        ),
        (
            "hermes", "<tool_call>{\"name\":\"a\",\"arguments\":{}}}\n</tool_call>x",
            .init("x", [("a", "{}")])
        ),
        (
            "hermes", "<tool_call>{\"name\":\"a\",\"arguments\":{\"x\":1",
            .init("", [("a", "{\"x\":1")])
        ),
        (
            "hermes", "<tool_call>{\"name\":\"a\",\"arguments\":{\"x\":1}",
            .init("", [("a", "{\"x\":1}")])
        ),
        // No calls after all.
        ("hermes", "<tool_call>no JSON</tool_call>", .init("<tool_call>no JSON</tool_call>")),
        ("hermes", "<tool_call>{\"x\": 1}</tool_call>", .init("<tool_call>{\"x\": 1}</tool_call>")),
        ("hermes", "<tool_call></tool_call>", .init("<tool_call></tool_call>")),
        ("hermes", "<tool_call>", .init("<tool_call>")),
        ("hermes", "a <tool_ca", .init("a <tool_ca")),
        ("hermes", "<tool_call>{\"na", .init("<tool_call>{\"na")),
        ("hermes", "<<tool_call>{\"name\":\"a\"}</tool_call>", .init("<", [("a", "{}")])),
        (
            "hermes", "<tool_call>{\"name\":5}</tool_call>",
            .init("<tool_call>{\"name\":5}</tool_call>")
        ),
    ]

    static let llama: [Case] = [
        ("llama3_json", "Hello {you}", .init("Hello {you}")),
        (
            "llama3_json", "{\"name\": \"get_weather\", \"parameters\": \(weather)}",
            .init("", [("get_weather", weather)])
        ),
        (
            "llama3_json",
            "<|python_tag|>{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {\"city\": \"a;b\"}}",
            .init("", [("now", "{}"), ("get_weather", "{\"city\": \"a;b\"}")])
        ),
        (
            "llama3_json", "\n {\"type\": \"function\", \"name\": \"now\"}",
            .init("", [("now", "{}")])
        ),
        // An answer in JSON is no call.
        (
            "llama3_json", "{\"name\": \"Bob\", \"age\": 3}",
            .init("{\"name\": \"Bob\", \"age\": 3}")
        ),
        ("llama3_json", "{\"answer\": 42} and more", .init("{\"answer\": 42} and more")),
        ("llama3_json", "{\"parameters\": {}}", .init("{\"parameters\": {}}")),
        ("llama3_json", "{not json", .init("{not json")), ("llama3_json", "{", .init("{")),
        (
            "llama3_json", "<|python_tag|>print(1)", .init("<|python_tag|>print(1)")
        ),
        ("llama3_json", "<|pyth", .init("<|pyth")),
        ("llama3_json", "<|python {\"a\"", .init("<|python {\"a\"")),
    ]

    static let mistral: [Case] = [
        ("mistral", "Hello [you]", .init("Hello [you]")),
        (
            "mistral",
            "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": \(weather), \"id\": \"abcdef123\"}]",
            .init("", [("get_weather", weather)])
        ),
        (
            "mistral",
            "Sure.[TOOL_CALLS][{\"name\":\"a\",\"arguments\":{}}, {\"name\":\"b\",\"arguments\":{\"x\":[]}}] bye",
            .init("Sure. bye", [("a", "{}"), ("b", "{\"x\":[]}")])
        ),
        (
            "mistral", "[TOOL_CALLS]get_weather[ARGS]\(weather)",
            .init("", [("get_weather", weather)])
        ),
        (
            "mistral_args",
            "Hm[TOOL_CALLS]a[ARGS]{\"x\": 1}[TOOL_CALLS]b[CALL_ID]abcdef123[ARGS]{}",
            .init("Hm", [("a", "{\"x\": 1}"), ("b", "{}")])
        ),
        (
            "mistral_args", "[TOOL_CALLS]a{\"x\": 1}\n[TOOL_CALLS] b {}",
            .init("", [("a", "{\"x\": 1}"), ("b", "{}")])
        ),
        ("mistral", "[TOOL_CALLS] nothing here\n", .init("[TOOL_CALLS] nothing here\n")),
        ("mistral", "[TOOL_CALLS][]", .init("[TOOL_CALLS][]")),
        ("mistral", "[TOOL_CALLS]a[ARGS] text", .init("[TOOL_CALLS]a[ARGS] text")),
        ("mistral", "[TOOL_CALLS]a", .init("[TOOL_CALLS]a")),
        ("mistral", "[TOOL_C", .init("[TOOL_C")),
        ("mistral", "[TOOL_CALLS]a[ARGS]{\"x\": <bad>} tail", .init("", [("a", "{\"x\": ")])),
    ]

    static let qwen: [Case] = [
        ("qwen3_coder", "if a < b: <i>", .init("if a < b: <i>")),
        (
            "qwen3_coder",
            """
            I look.
            <tool_call>
            <function=get_weather>
            <parameter=city>
            Zürich "😀"
            <b>x\\n</b>

            </parameter>
            <parameter=days>
            3
            </parameter>
            <parameter=exact>
            True
            </parameter>
            <parameter=ratio>
            2.50
            </parameter>
            <parameter=tags>
            ["a", 1]
            </parameter>
            <parameter=more>
            {"k": null}
            </parameter>
            <parameter=maybe>
            null
            </parameter>
            <parameter=either>
            12
            </parameter>
            <parameter=place>
            {"x": 1}
            </parameter>
            <parameter=free>
            5
            </parameter>
            </function>
            </tool_call>
            """,
            .init(
                "I look.\n",
                [
                    (
                        "get_weather",
                        #"{"city": "Zürich \"😀\"\n<b>x\\n</b>\n", "days": 3, "exact": true, "ratio": 2.50, "tags": ["a", 1], "more": {"k": null}, "maybe": null, "either": 12, "place": {"x": 1}, "free": "5"}"#
                    )
                ])
        ),
        // What is not of the kind stays a text, and nothing is run.
        (
            "qwen3_coder",
            "<function=get_weather><parameter=days>__import__('os').system('x')</parameter><parameter=tags>['a']</parameter><parameter=exact>yes</parameter></function>",
            .init(
                "",
                [
                    (
                        "get_weather",
                        #"{"days": "__import__('os').system('x')", "tags": "['a']", "exact": "yes"}"#
                    )
                ])
        ),
        (
            "qwen3_coder",
            "<tool_call>\n<function=now>\n</function>\n</tool_call>\n<tool_call>\n<function=now></function></tool_call>",
            .init("", [("now", "{}"), ("now", "{}")])
        ),
        (
            "qwen3_coder",
            "<tool_call><function=get_weather><parameter=city>a<parameter=days>4</function></tool_call>!",
            .init("!", [("get_weather", #"{"city": "a", "days": 4}"#)])
        ),
        (
            "qwen3_coder",
            "<function=get_weather><parameter=city>\n\n\n</parameter><parameter=city>b</parameter></function>",
            .init("", [("get_weather", #"{"city": "\n"}"#)])
        ),
        (
            "qwen3_coder", "<function=other><parameter=q>\u{1}\t\\</parameter></function>",
            .init("", [("other", #"{"q": "\u0001\t\\"}"#)])
        ),
        // What ends early is closed.
        (
            "qwen3_coder", "<function=get_weather><parameter=city>Par",
            .init("", [("get_weather", #"{"city": "Par"}"#)])
        ),
        ("qwen3_coder", "<function=get_weather>\n", .init("", [("get_weather", "{}")])),
        ("qwen3_coder", "<tool_call>\n{\"name\": 1}", .init("<tool_call>\n{\"name\": 1}")),
        ("qwen3_coder", "<tool_call>\n<function=a\nb>", .init("<tool_call>\n<function=a\nb>")),
        ("qwen3_coder", "<tool_call>", .init("<tool_call>")),
        ("qwen3_coder", "a</tool_call>b", .init("a</tool_call>b")),
        ("qwen3_coder", "<function=na", .init("<function=na")),
    ]

    private static func check(_ cases: [Case]) throws {
        var random = SplitMix64(seed: 71)
        for test in cases {
            let format = try #require(ToolCallFormatRegistry.format(named: test.format))
            let whole = ToolCallChecks.answer(format, [test.text])
            #expect(whole.content == test.expected.content, "\(test.text.debugDescription)")
            #expect(whole.calls.map(\.name) == test.expected.calls.map(\.name), "\(test.text)")
            #expect(
                whole.calls.map(\.arguments) == test.expected.calls.map(\.arguments),
                "\(test.text.debugDescription)")
            #expect(whole.calls.map(\.id) == whole.calls.indices.map { "id-\($0 + 1)" })
            for pieces in TextPieces.pieces(of: test.text, &random) {
                let answer = ToolCallChecks.answer(format, pieces)
                #expect(answer == whole, "\(pieces)")
            }
        }
    }

    @Test func `calls of Hermes are found in any pieces`() throws { try Self.check(Self.hermes) }
    @Test func `calls of Llama 3 are found in any pieces`() throws { try Self.check(Self.llama) }
    @Test func `calls of Mistral are found in any pieces`() throws { try Self.check(Self.mistral) }
    @Test func `calls of Qwen3-Coder are found in any pieces`() throws { try Self.check(Self.qwen) }

    @Test func `a cut call stays open`() throws {
        let format = Qwen3CoderToolCalls()
        let text = "<function=get_weather><parameter=city>Par"
        let answer = ToolCallChecks.answer(format, [text], isCut: true)
        #expect(answer.calls.first?.arguments == #"{"city": "Par"#)
    }

    @Test func `arguments and texts are passed on as they come`() throws {
        var parser = HermesToolCalls().parser(tools: [], makeID: { "x" })
        #expect(parser.add("Hi <") == [.content("Hi ")])
        #expect(parser.add("b>") == [.content("<b>")])
        #expect(parser.add("<tool_call>{\"name\": \"f\"") == [.call(index: 0, id: "x", name: "f")])
        #expect(parser.add(", \"arguments\": {\"a\"") == [.arguments(index: 0, "{\"a\"")])
        #expect(parser.add(": 1}}</tool_call>") == [.arguments(index: 0, ": 1}")])
        #expect(parser.finish(isCut: false) == [])
        var coder = Qwen3CoderToolCalls().parser(tools: ToolCallChecks.tools, makeID: { "x" })
        _ = coder.add("<tool_call>\n<function=get_weather>\n<parameter=city>\n")
        #expect(coder.add("Par") == [.arguments(index: 0, "\"Par")])
        #expect(coder.add("is\n</para") == [.arguments(index: 0, "is")])
        #expect(coder.add("meter>\n") == [.arguments(index: 0, "\"")])
    }

    @Test(arguments: ToolCallFormatRegistry.all.map { $0.name })
    func `no text makes it crash, and pieces do not matter`(name: String) throws {
        let format = try #require(ToolCallFormatRegistry.format(named: name))
        let words = [
            "<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=",
            "</parameter>", "get_weather", "now",
            "city", "days", ">", "<", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>", "{",
            "}", "[", "]", "\"name\"",
            "\"arguments\"", "\"parameters\"", ":", ",", ";", "\"get_weather\"", "\"now\"",
            "\"x\\\"\"", "1", "true", "null", "\n", " ",
            "é😀", "\\", "\"", "text", "{\"name\": \"now\", \"arguments\": {",
            "{\"name\": \"get_weather\", \"parameters\": {}}",
        ]
        var random = SplitMix64(seed: 72)
        var calls = 0
        for round in 0..<4000 {
            let count = Int.random(in: 1...16, using: &random)
            let text = (0..<count).map { _ in words.randomElement(using: &random) ?? "" }.joined()
            let isCut = round % 3 == 0
            let whole = ToolCallChecks.answer(format, [text], isCut: isCut)
            calls += whole.calls.count
            let scalars = text.unicodeScalars.map { String($0) }
            #expect(
                ToolCallChecks.answer(format, scalars, isCut: isCut) == whole,
                "\(text.debugDescription)")
        }
        #expect(calls > 20)
    }

    @Test(arguments: ToolCallFormatRegistry.all.map { $0.name })
    func `texts without calls are not kept`(name: String) throws {
        let format = try #require(ToolCallFormatRegistry.format(named: name))
        var parser = format.parser(tools: ToolCallChecks.tools, makeID: { "x" })
        let piece = "some text with < and [ and { inside, " + String(repeating: "<tool_", count: 3)
        var (given, got) = (0, 0)
        for _ in 0..<2000 {
            given += piece.utf8.count
            for case .content(let text) in parser.add(piece) { got += text.utf8.count }
            #expect(given - got < 64)
        }
    }

    // MARK: Registry and constraints

    @Test func `every format in the folder is registered`() throws {
        let shared: Set<String> = [
            "CallConstraint.swift", "CallListScanner.swift", "CallObjectScanner.swift",
            "ParameterSchema.swift", "ParameterValue.swift", "ToolCallFormat.swift",
            "ToolCallFormatRegistry.swift", "ToolCallOutput.swift",
        ]
        let folder = FileSystem.join(
            Fixtures.packageRoot, "Sources/EftServer/ToolCallFormats")
        let families = try FileSystem.list(folder).filter { !shared.contains($0) }
        for file in families {
            let family = file.dropLast(".swift".count)
            #expect(
                ToolCallFormatRegistry.all.contains { "\($0)".hasPrefix(family) }, "\(file)")
        }
        #expect(Set(ToolCallFormatRegistry.all.map { $0.name }).count == 5)
        #expect(ToolCallFormatRegistry.format(named: "nothing") == nil)
    }

    @Test func `a chat template tells the format`() throws {
        let expected = [
            "qwen2.5": "hermes", "qwen3": "hermes", "hermes2pro-tools": "hermes",
            "llama3.1": "llama3_json", "mistral-v3": "mistral", "mistral-v7": "mistral_args",
        ]
        for name in try Fixtures.list("chat/templates").map({ String($0.dropLast(6)) }) {
            let path = Fixtures.path("chat/templates/\(name).jinja")
            let source = String(decoding: try FileSystem.read(path), as: UTF8.self)
            let format = ToolCallFormatRegistry.format(ofTemplate: source)
            #expect(format.map { type(of: $0).name } == expected[name], "\(name)")
        }
    }

    @Test func `constraints have the form that is read back`() throws {
        let schema: ConfigNode = [
            "type": "object", "properties": ["city": ["type": "string"]], "required": ["city"],
        ]
        let tool = ToolDefinition(name: "get \"w\"", parameters: schema)
        let object = ConstraintSpecification.sequence([
            .literal(#"{"name": "get \"w\"", "arguments": "#), .jsonSchema(schema), .literal("}"),
        ])
        #expect(
            HermesToolCalls().constraint(tools: [tool], allowsSeveral: false)
                == .sequence([.literal("<tool_call>\n"), object, .literal("\n</tool_call>")]))
        #expect(
            MistralToolCalls().constraint(tools: [tool], allowsSeveral: true)
                == .sequence([
                    .literal("[TOOL_CALLS]["),
                    .repeated(object, minimum: 1, maximum: nil, separator: ", "), .literal("]"),
                ]))
        #expect(
            MistralArgsToolCalls().constraint(
                tools: [ToolDefinition(name: "now")], allowsSeveral: false)
                == .sequence([.literal("[TOOL_CALLS]now[ARGS]"), .literal("{}")]))
        #expect(
            Llama3ToolCalls().constraint(
                tools: [ToolDefinition(name: "a"), ToolDefinition(name: "b")], allowsSeveral: false)
                == .anyOf(
                    ["a", "b"].map {
                        .sequence([
                            .literal("{\"name\": \"\($0)\", \"parameters\": "), .literal("{}"),
                            .literal("}"),
                        ])
                    }))
        #expect(
            Qwen3CoderToolCalls().constraint(
                tools: [
                    ToolDefinition(
                        name: "f",
                        parameters: [
                            "properties": [
                                "a": ["type": "string"], "n": ["type": "integer"],
                                "e": ["enum": ["x", "y"]],
                            ], "required": ["a"],
                        ])
                ], allowsSeveral: false)
                == .sequence([
                    .literal("<tool_call>\n<function=f>\n"),
                    .sequence([
                        .literal("<parameter=a>\n"),
                        .textWithout(["</parameter>", "<parameter=", "</function>"]),
                        .literal("\n</parameter>\n"),
                    ]),
                    .anyOf([
                        .sequence([
                            .literal("<parameter=n>\n"), .jsonSchema(["type": "integer"]),
                            .literal("\n</parameter>\n"),
                        ]), .literal(""),
                    ]),
                    .anyOf([
                        .sequence([
                            .literal("<parameter=e>\n"), .choice(["x", "y"]),
                            .literal("\n</parameter>\n"),
                        ]), .literal(""),
                    ]), .literal("</function>\n</tool_call>"),
                ]))
    }
}
