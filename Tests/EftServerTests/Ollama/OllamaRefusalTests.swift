// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftTensor
import EftTestSupport
import Testing

@testable import EftServer

/// Bodies that Ollama's routes must refuse, or survive.
struct OllamaRefusalTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer.shared() }

    /// A chat with one more field.
    static func chat(_ field: String, _ value: String) -> (path: String, body: String) {
        (
            "/api/chat",
            "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":false,\"\(field)\":\(value)}"
        )
    }

    static func generate(_ field: String, _ value: String) -> (path: String, body: String) {
        ("/api/generate", "{\"prompt\":\"x\",\"stream\":false,\"\(field)\":\(value)}")
    }

    static func messages(_ message: String) -> (path: String, body: String) {
        ("/api/chat", "{\"messages\":[\(message)],\"stream\":false}")
    }

    static let refused: [(path: String, body: String)] =
        [
            ("temperature", "\"1\""), ("temperature", "3"), ("temperature", "1e300"),
            ("num_predict", "1.5"), ("num_predict", "\"x\""), ("num_ctx", "[]"), ("top_k", "0.5"),
            ("top_p", "true"), ("repeat_penalty", "0"), ("repeat_penalty", "-1"),
            ("presence_penalty", "9"), ("seed", "0.5"), ("stop", "[1]"), ("stop", "[\"\"]"),
            ("stop", "5"), ("min_p", "\"a\""),
        ].flatMap {
            [chat("options", "{\"\($0)\":\($1)}"), generate("options", "{\"\($0)\":\($1)}")]
        }
        + [
            chat("options", "[]"), chat("options", "5"), chat("format", "\"xml\""),
            chat("format", "5"), chat("format", "{\"type\":5}"), chat("format", "[]"),
            chat("format", "{\"$ref\":\"http://127.0.0.1/\"}"), chat("think", "\"much\""),
            chat("think", "5"), chat("stream", "\"no\""), chat("tools", "[5]"),
            chat("tools", "{}"), chat("tools", "[{\"type\":\"function\"}]"), chat("model", "5"),
            chat("logprobs", "5"), chat("priority", "3"), messages("5"), messages("{}"),
            messages("{\"role\":5}"), messages("{\"role\":\"user\",\"content\":[]}"),
            messages("{\"role\":\"user\",\"content\":\"x\",\"images\":[\"aGk=\"]}"),
            messages("{\"role\":\"user\",\"content\":\"x\",\"images\":5}"),
            messages("{\"role\":\"assistant\",\"tool_calls\":[5]}"),
            messages("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}"),
            messages(
                "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"a\",\"arguments\":\"{}\"}}]}"
            ),
            generate("suffix", "\"x\""), generate("images", "[\"aGk=\"]"),
            generate("template", "\"{{ .Prompt }}\""), generate("context", "[-1]"),
            generate("context", "[2048]"), generate("context", "[1.5]"),
            generate("context", "\"x\""), generate("system", "5"), generate("raw", "1"),
            generate("raw", "true,\"system\":\"x\""), generate("raw", "true,\"context\":[1]"),
            generate(
                "context",
                "[\(Array(repeating: "5", count: 600).joined(separator: ","))],\"truncate\":false"),
            chat("truncate", "5"),
            ("/api/chat", "{\"messages\":5}"), ("/api/chat", "{\"messages\":[],\"keep_alive\":[]}"),
            ("/api/generate", "{\"prompt\":5}"),
            (
                "/api/generate",
                "{\"prompt\":\"\(String(repeating: "word ", count: 2000))\",\"truncate\":false}"
            ),
            messages(
                "{\"role\":\"user\",\"content\":\"\(String(repeating: "word ", count: 2000))\"}"),
            ("/api/embed", "{\"input\":5}"), ("/api/embed", "{\"input\":[5]}"),
            ("/api/embed", "{\"input\":\"x\",\"dimensions\":0}"),
            ("/api/embed", "{\"input\":\"x\",\"truncate\":1}"),
            (
                "/api/embed",
                "{\"input\":[\(Array(repeating: "\"x\"", count: 1025).joined(separator: ","))]}"
            ),
            ("/api/embeddings", "{\"prompt\":[]}"), ("/api/show", "[]"), ("/api/show", ""),
            ("/api/chat", ""), ("/api/chat", "null"), ("/api/chat", "{"),
            ("/api/chat", "{\"messages\":[],\"messages\":[]}"),
            ("/api/generate", String(repeating: "[", count: 100_000)),
        ]

    @Test func `what is wrong is refused in Ollama's form`() throws {
        for (path, body) in OllamaRefusalTests.refused {
            let response = try demo.post(path, text: body)
            #expect(response.status == 400, "\(path) \(excerpt(body)): \(excerpt(response.text))")
            #expect(response.json.keys == ["error"], "\(path) \(excerpt(body))")
            #expect(response.value("error").text?.isEmpty == false)
            #expect(response.body.count < 2048)
        }
    }

    @Test func `what is odd but harmless is answered`() throws {
        for (path, body) in [
            OllamaRefusalTests.chat(
                "options",
                "{\"num_predict\":1,\"top_k\":4611686018427387904,\"seed\":-9223372036854775808}"),
            OllamaRefusalTests.chat("options", "{\"num_predict\":2,\"tfs_z\":\"x\",\"numa\":[]}"),
            OllamaRefusalTests.chat("keep_alive", "\"5m\",\"options\":{\"num_predict\":1}"),
            OllamaRefusalTests.chat("tools", "[],\"options\":{\"num_predict\":1}"),
            OllamaRefusalTests.generate("images", "[],\"options\":{\"num_predict\":1}"),
            OllamaRefusalTests.generate("template", "\"\",\"options\":{\"num_predict\":1}"),
            OllamaRefusalTests.generate(
                "context", "[],\"suffix\":\"\",\"options\":{\"num_predict\":1}"),
            OllamaRefusalTests.generate(
                "format", "null,\"think\":null,\"options\":{\"num_predict\":1}"),
        ] {
            let response = try demo.post(path, text: body)
            #expect(response.status == 200, "\(body) \(response.text)")
        }
    }

    @Test func `altered bodies are answered, whatever they are`() throws {
        let good =
            Array(
                #"{"model":"demo","messages":[{"role":"user","content":"x","images":[]}],"stream":false,"#
                    .utf8)
            + Array(
                #""options":{"num_predict":1,"top_k":2,"stop":["a"]},"format":"json","tools":[]}"#
                    .utf8)
        var random = SplitMix64(seed: 11)
        let server = try demo.server()
        for _ in 0..<300 {
            var request = TestRequest("POST", "/api/chat", body: "x")
            request.body = random.mutated(good, headBias: 30)
            let response = try server.send(request)
            #expect([200, 400, 404].contains(response.status))
        }
    }

    @Test(arguments: Transport.allCases)
    func `a body needs no type, but a page of others is refused`(transport: Transport) throws {
        let server = try demo.server(transport)
        for path in ["/api/show", "/generate"] {
            let body = "{\"model\":\"demo\",\"prompt\":\"x\",\"max_tokens\":1}"
            for type in [nil, "application/x-www-form-urlencoded", "application/json"] {
                let request = TestRequest("POST", path, body: body, type: type)
                #expect(try server.send(request).status == 200, "\(path) \(type ?? "none")")
                for origin in ["http://evil.example", "null", "http://test.evil"] {
                    var foreign = request
                    foreign.fields.set("Origin", origin)
                    let found = try server.send(foreign)
                    // A browser asks first before it sends JSON, and is not let in then.
                    #expect(found.status == (type == "application/json" ? 200 : 403))
                }
            }
        }
        // The server's own page.
        var own = TestRequest("POST", "/api/show", body: "{}", type: nil)
        own.fields.set("Origin", "http://test")
        if transport == .router { own.fields.set("Host", "test") }
        #expect(try server.send(own).status == 200)
    }
}
