// SPDX-License-Identifier: Apache-2.0
import EftConfig
import Testing

@testable import EftServer

/// A request that must be refused.
struct Refusal: Sendable, CustomTestStringConvertible {
    let path: String
    let body: String
    /// What the answer blames; nil for nothing in particular.
    let parameter: String?

    var testDescription: String { "\(path) \(excerpt(body))" }

    init(_ path: String, _ body: String, _ parameter: String?) {
        (self.path, self.body, self.parameter) = (path, body, parameter)
    }

    /// A completion with one more field.
    static func completion(_ field: String, _ value: String, _ parameter: String? = nil) -> Refusal
    {
        let length = field == "max_tokens" ? "" : "\"max_tokens\":4,"
        return Refusal(
            "/v1/completions", "{\"prompt\":\"x\",\(length)\"\(field)\":\(value)}",
            parameter ?? field)
    }

    /// A chat with one more field.
    static func chat(_ field: String, _ value: String, _ parameter: String? = nil) -> Refusal {
        Refusal(
            "/v1/chat/completions",
            "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":4,\"\(field)\":\(value)}",
            parameter ?? field)
    }
}

struct RefusalTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer.shared() }

    static let numbers: [Refusal] = [
        "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty",
        "repetition_penalty", "typical_p", "xtc_probability",
    ].flatMap { name in
        ["\"1\"", "[]", "true", "1e200", "-1"].compactMap { value -> Refusal? in
            let mayBeNegative = ["presence_penalty", "frequency_penalty"].contains(name)
            return mayBeNegative && value == "-1" ? nil : Refusal.completion(name, value)
        }
    }

    static let values: [Refusal] = [
        .completion("temperature", "2.1"), .completion("top_p", "0"), .completion("top_k", "-2"),
        .completion("n", "0"), .completion("n", "129"), .completion("n", "4611686018427387904"),
        .completion("n", "1.5"), .completion("max_tokens", "0"), .completion("max_tokens", "-1"),
        .completion("min_tokens", "5"), .completion("min_tokens", "-1"),
        .completion("min_tokens", "4611686018427387904"), .completion("logprobs", "21"),
        .completion("logprobs", "-2"), .completion("prompt_logprobs", "1000000"),
        .completion("seed", "0.5"), .completion("priority", "3"), .completion("stream", "\"yes\""),
        .completion("stream_options", "{}"), .completion("suffix", "\"x\""),
        .completion("best_of", "2"), .completion("guided_regex", "\"a\""),
        .completion("prompt_embeds", "\"x\""), .completion("stop", "[\"\"]"),
        .completion("stop", "[1]"), .completion("stop_token_ids", "[-1]"),
        .completion("stop_token_ids", "[1.5]"), .completion("stop_token_ids", "[1e300]"),
        .completion("stop_token_ids", "[2147483648]"), .completion("stop_token_ids", "[2048]"),
        .completion("allowed_token_ids", "[-1]"),
        .completion("allowed_token_ids", "[2048]"), .completion("allowed_token_ids", "[]"),
        .completion("logit_bias", "{\"2048\":1}"), .completion("logit_bias", "{\"-1\":1}"),
        .completion("logit_bias", "{\"a\":1}"), .completion("logit_bias", "{\"1\":\"x\"}"),
        .completion("logit_bias", "{\"99999999999999999999\":1}"),
        .completion("bad_words", "[\"\"]"), .completion("bad_words", "[1]"),
        .completion("bad_words", "[\"\(String(repeating: "word ", count: 2000))\"]"),
        .completion("cache_salt", "\"\""), .completion("cache_salt", "\"a\\u0000b\""),
        .completion("cache_salt", "\"\(String(repeating: "x", count: 129))\""),
        .completion("response_format", "{}", "response_format.type"),
        .completion("response_format", "{\"type\":\"x\"}", "response_format.type"),
        .completion("structured_outputs", "{}"),
        .completion("structured_outputs", "{\"regex\":\"a\",\"choice\":[\"b\"]}"),
        .chat("top_logprobs", "2"), .chat("tools", "[]"), .chat("tool_choice", "\"required\""),
        .chat("min_tokens", "5"), .chat("chat_template", "\"{{ 1 }}\""),
        .chat("tools", "[5]", "tools[0]"), .chat("stream_options", "{}"),
        Refusal("/v1/chat/completions", "{\"messages\":[]}", "messages"),
        Refusal("/v1/chat/completions", "{\"messages\":5}", "messages"),
    ]

    static let prompts: [Refusal] = [
        "[-1]", "[2048]", "[2147483648]", "[9223372036854775808]", "[1.5]", "[1,\"a\"]",
        "[[[1]]]", "[null]", "[{}]", "[]", "{}", "5", "null",
        "[\(Array(repeating: "5", count: 513).joined(separator: ","))]",
        "[\(Array(repeating: "\"x\"", count: 1025).joined(separator: ","))]",
        "\"\(String(repeating: "word ", count: 2000))\"",
        "\"\(String(repeating: "a", count: 1 << 20 + 1))\"",
    ].map { Refusal("/v1/completions", "{\"prompt\":\($0)}", "prompt") }

    static let patterns: [Refusal] = [
        "{\"regex\":\"(\"}", "{\"regex\":\"[z-a]\"}", "{\"regex\":\"a{1000000000}\"}",
        "{\"regex\":\"(a)\\\\1\"}", "{\"regex\":\"((((a{1,90}){1,90}){1,90}){1,90}){1,90}\"}",
        "{\"grammar\":\"\"}", "{\"grammar\":\"root ::= nothing\"}", "{\"json\":\"{\"}",
        "{\"json\":{\"type\":5}}", "{\"json\":{\"$ref\":\"http://127.0.0.1/\"}}",
        "{\"choice\":[]}",
        "{\"json\":\(String(repeating: "{\"items\":", count: 100))1\(String(repeating: "}", count: 100))}",
    ].map {
        Refusal("/v1/completions", "{\"prompt\":\"x\",\"structured_outputs\":\($0)}", "any")
    }

    static let bodies: [Refusal] = [
        "", "null", "5", "[]", "\"x\"", "{", "{\"prompt\":\"a\",\"prompt\":\"b\"}",
        "{\"prompt\":\"a\"} x", "{\"prompt\":\"a\",\"temperature\":NaN}",
        "{\"prompt\":\"a\",\"temperature\":1e999}", "{\"prompt\":\"\\ud800\"}",
        String(repeating: "[", count: 100_000),
        "{\"prompt\":\(String(repeating: "[", count: 5000))\(String(repeating: "]", count: 5000))}",
        "{\"\(String(repeating: "k", count: 1_000_000))\":1}",
    ].map { Refusal("/v1/completions", $0, "any") }

    static let all = numbers + values + prompts + patterns + bodies

    @Test(arguments: RefusalTests.all)
    func `what is wrong is refused with a short reason`(refusal: Refusal) throws {
        let response = try demo.post(refusal.path, text: refusal.body)
        #expect(response.status == 400)
        #expect(response.body.count < 2048)
        #expect(response.value("error", "message").text?.isEmpty == false)
        #expect(response.value("error", "code") == 400)
        if refusal.parameter != "any" {
            #expect(response.value("error", "param").text == refusal.parameter)
        }
    }

    @Test func `unknown models are not found`() throws {
        for path in ["/v1/completions", "/v1/embeddings", "/tokenize", "/generate"] {
            let response = try demo.post(path, ["model": "nobody", "prompt": "x", "input": "x"])
            #expect(response.status == 404)
            #expect(response.value("error", "param") == "model")
        }
    }

    @Test func `the number of all answers is bounded`() throws {
        let prompts = ConfigNode(Array(repeating: ConfigNode("x"), count: 100))
        let response = try demo.post(
            "/v1/completions",
            ["prompt": prompts, "n": 100, "temperature": 1, "max_tokens": 1])
        #expect(response.status == 400)
        #expect(response.value("error", "param") == "n")
    }

    @Test func `what is odd but harmless is answered`() throws {
        for (field, value) in [
            ("max_tokens", "4611686018427387904"), ("top_k", "4611686018427387904"),
            ("seed", "-9223372036854775808"), ("seed", "9223372036854775807"),
            ("temperature", "1e-40"), ("logit_bias", "{\"1\":1e300,\"2\":-1e300}"),
            ("cache_salt", "\"../a@b\\\\c\""), ("user", "\"x\""), ("unknown", "{}"),
            ("temperature", "null"), ("max_tokens", "2.0"),
        ] {
            let response = try demo.post(
                "/v1/completions",
                text: "{\"prompt\":\"x\",\"stop\":[\".\"],\"\(field)\":\(value)}")
            #expect(response.status == 200, "\(field) \(value)")
        }
    }

    @Test func `names that a request reserves cannot be given to the template`() throws {
        let messages: ConfigNode = [["role": "user", "content": "x"]]
        let plain = try demo.answer("/tokenize", ["messages": messages])
        let response = try demo.post(
            "/tokenize",
            [
                "messages": messages,
                "chat_template_kwargs": ["messages": [["role": "user", "content": "other"]]],
            ])
        #expect(response.status == 400 || response.json["tokens"] == plain["tokens"])
    }
}
