// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftServer

struct AccessLogTests {
    @Test(arguments: Transport.allCases)
    func `each request is a line of JSON`(transport: Transport) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("access.log")
        let log = try AccessLog(.file(path))
        let server = try TestServer(transport, routes: [ClosureRoute.hello], log: log)
        _ = try server.send(
            TestRequest("GET", "/hello?secret=1", fields: ["X-Request-Id": "mine"]))
        _ = try server.send(TestRequest("GET", "/now\"here"))
        server.server?.stop(within: .seconds(5))
        log.settle()
        let text = String(decoding: try FileSystem.read(path), as: UTF8.self)
        let lines = try text.split(separator: "\n").map { try JSONParser.parse(String($0)) }
        try #require(lines.count == 2)
        func value(_ line: Int, _ key: String) -> ConfigNode? {
            if case .object(let object) = lines[line].value { object[key] } else { nil }
        }
        #expect(value(0, "method") == "GET")
        // Queries may hold what should not be kept.
        #expect(value(0, "path") == "/hello")
        #expect(value(0, "status") == 200)
        #expect(value(0, "bytes") == 5)
        #expect(value(0, "request_id") == "mine")
        #expect(value(0, "peer") == (transport == .live ? "127.0.0.1" : "test"))
        if case .real(let duration)? = value(0, "duration")?.value {
            #expect(duration >= 0 && duration < 60)
        } else {
            Issue.record("no duration")
        }
        if case .string(let time)? = value(0, "time")?.value {
            #expect(time.utf8.count == 24 && time.hasPrefix("20") && time.hasSuffix("Z"))
        } else {
            Issue.record("no time")
        }
        #expect(value(1, "path") == "/now\"here")
        #expect(value(1, "status") == 404)
        #expect(log.lostLines == 0)
    }

    /// The lines that requests leave in a log of words and in one of JSON.
    private func lines(
        _ requests: [TestRequest]
    ) throws -> (words: [String], nodes: [ConfigObject]) {
        let folder = try TemporaryFolder()
        let (words, nodes) = (folder.file("words.log"), folder.file("json.log"))
        let logs = (
            try AccessLog(.file(words), format: .text), try AccessLog(.file(nodes))
        )
        let server = try TestServer(
            .router, routes: DemoServer.shared().routes, log: logs.1, terminalLog: logs.0)
        for request in requests { _ = try server.send(request) }
        logs.0.settle()
        logs.1.settle()
        func read(_ path: String) throws -> [String] {
            String(decoding: try FileSystem.read(path), as: UTF8.self).split(separator: "\n")
                .map(String.init)
        }
        return (
            try read(words),
            try read(nodes).compactMap {
                if case .object(let object) = try JSONParser.parse($0).value { object } else { nil }
            }
        )
    }

    @Test func `a line for people has the model, tokens and times`() throws {
        let body =
            #"{"prompt": "Question: What", "max_tokens": 6, "ignore_eos": true, "model": "alias"}"#
        let (words, nodes) = try lines([
            TestRequest("POST", "/v1/completions?key=secret", body: body),
            TestRequest("POST", "/v1/embeddings", body: #"{"input": "Question"}"#),
            TestRequest("POST", "/v1/completions", body: "{"),
        ])
        try #require(words.count == 3 && nodes.count == 3)
        let pattern =
            #/POST /v1/completions 200 in [0-9.]+ s: demo, ([0-9]+) tokens in, 6 out, first after [0-9.]+ s, [0-9.]+ tokens/s/#
        let match = try #require(words[0].wholeMatch(of: pattern), "\(words[0])")
        #expect(nodes[0]["prompt_tokens"] == ConfigNode(Int(match.1) ?? 0))
        #expect(nodes[0]["completion_tokens"] == 6 && nodes[0]["model"] == "demo")
        #expect((nodes[0]["time_to_first_token"]?.number ?? 0) > 0)
        #expect((nodes[0]["tokens_per_second"]?.number ?? 0) > 0)
        #expect(words[1].contains("/v1/embeddings 200") && words[1].hasSuffix("0 out"))
        #expect(words[2].wholeMatch(of: #/POST /v1/completions 400 in [0-9.]+ s/#) != nil)
        #expect(nodes[2]["model"] == nil && nodes[2]["status"] == 400)
    }

    @Test func `a stream and several answers are counted whole, under an adapter's name`() throws {
        let demo = try DemoServer.shared()
        let load = try demo.post(
            "/v1/load_lora_adapter", ["lora_name": "logged", "lora_path": "first"])
        #expect(load.status == 200)
        defer { _ = try? demo.post("/v1/unload_lora_adapter", ["lora_name": "logged"]) }
        let body =
            #"{"prompt": ["Question", "Answer"], "n": 2, "max_tokens": 3, "ignore_eos": true, "stream": true,"#
            + #" "model": "logged"}"#
        let (words, nodes) = try lines([TestRequest("POST", "/v1/completions", body: body)])
        try #require(words.count == 1 && nodes.count == 1)
        #expect(words[0].contains(": logged, ") && words[0].contains(" 12 out, "))
        #expect(nodes[0]["completion_tokens"] == 12 && nodes[0]["model"] == "logged")
    }

    @Test func `the terminal hears of no request that only watches, unless it fails`() throws {
        let (words, nodes) = try lines([
            TestRequest("GET", "/health"), TestRequest("GET", "/metrics"),
            TestRequest("GET", "/v1/models"), TestRequest("GET", "/nowhere"),
        ])
        #expect(nodes.count == 4)
        #expect(words.map { $0.split(separator: " ")[1] } == ["/v1/models", "/nowhere"])
        #expect(words.last?.contains(" 404 in ") == true)
    }

    @Test func `a request for beams is counted too`() throws {
        let body =
            #"{"prompt": "Question", "use_beam_search": true, "n": 2, "max_tokens": 3, "temperature": 0}"#
        let (words, _) = try lines([TestRequest("POST", "/v1/completions", body: body)])
        #expect(words.count == 1 && words.first?.contains(": demo, ") == true)
        #expect(words.first?.contains(" 0 out") == false)
    }

    @Test(arguments: Transport.allCases)
    func `a full disk fails no request, and is counted`(transport: Transport) throws {
        let log = try AccessLog(.file("/dev/full"))
        let server = try TestServer(transport, routes: [ClosureRoute.hello], log: log)
        for _ in 0..<20 {
            #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
        }
        server.server?.stop(within: .seconds(5))
        log.settle()
        #expect(log.lostLines == 20)
    }

    @Test func `a log that cannot be opened is refused`() {
        let error = #expect(throws: ServerError.self) { try AccessLog(.file("/nowhere/log")) }
        #expect(error?.code == .accessLog)
    }

    @Test func `a client that leaves is logged as such`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("access.log")
        let log = try AccessLog(.file(path))
        let handout = Handout<Responder>()
        let route = ClosureRoute("GET", "/slow") { _, responder in
            responder.onCancel { handout.cancelled() }
            handout.give(responder)
        }
        let server = try TestServer(routes: [route], log: log)
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/slow").bytes)
        let responder = handout.take()
        socket.close()
        handout.waitForCancellation()
        #expect(responder.isCancelled)
        #expect(eventually { server.server?.connectionCount == 0 })
        log.settle()
        let text = String(decoding: try FileSystem.read(path), as: UTF8.self)
        #expect(text.contains("\"status\":499,"))
    }
}
