// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import EftTensor
import EftTestSupport
import Testing

struct JSONBodyTests {
    private let echo = ClosureRoute("POST", "/echo") { request, responder in
        responder.respond(.json(try request.json()))
    }

    @Test(arguments: Transport.allCases)
    func `a body is read as JSON`(transport: Transport) throws {
        let server = try TestServer(transport, routes: [echo])
        let text = #"{"a":[1,2.5,"ü\n",null,true],"b":{}}"#
        #expect(try server.send(TestRequest("POST", "/echo", body: text)).text == text)
    }

    @Test(
        arguments: Transport.allCases,
        [
            "text/plain", "application/x-www-form-urlencoded", "", "application/jsonx",
            "application/json text/plain", "json",
        ])
    func `a body announced as something else is refused`(transport: Transport, type: String) throws
    {
        let server = try TestServer(transport, routes: [echo])
        let response = try server.send(TestRequest("POST", "/echo", body: "{}", type: type))
        #expect(response.status == 400)
        #expect(response.value("error", "type") == "BadRequestError")
        let none = try server.send(TestRequest("POST", "/echo", body: "{}", type: nil))
        #expect(none.status == 400)
    }

    @Test(arguments: [
        "application/json", "Application/JSON", "application/json; charset=utf-8",
        "application/json;charset=utf-8", " application/json ",
    ])
    func `the usual spellings of the type are known`(type: String) throws {
        let server = try TestServer(.router, routes: [echo])
        #expect(try server.send(TestRequest("POST", "/echo", body: "{}", type: type)).status == 200)
    }

    @Test(
        arguments: Transport.allCases,
        [
            "", "{", "{\"a\":1,}", "nul", "{\"a\":1}{", "{\"a\":1,\"a\":2}", "NaN", "[1e999]",
            "\"\\ud800\"", "'a'", "{\"a\":\u{1}}", "[01]", String(repeating: "[", count: 200),
            String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 50_000),
        ])
    func `what is not JSON is refused`(transport: Transport, body: String) throws {
        let server = try TestServer(transport, routes: [echo])
        let response = try server.send(TestRequest("POST", "/echo", body: body))
        #expect(response.status == 400)
        #expect(response.value("error", "code") == 400)
        #expect(response.body.count < 600)
    }

    @Test func `bytes that are no text are refused`() throws {
        let server = try TestServer(.router, routes: [echo])
        var request = TestRequest("POST", "/echo", body: "x")
        request.body = [UInt8(ascii: "\""), 0xFF, 0xC0, UInt8(ascii: "\"")]
        #expect(try server.send(request).status == 400)
    }

    @Test func `nesting is bounded at 128`() throws {
        let server = try TestServer(.router, routes: [echo])
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try server.send(TestRequest("POST", "/echo", body: nested(128))).status == 200)
        #expect(try server.send(TestRequest("POST", "/echo", body: nested(129))).status == 400)
    }

    @Test func `the number of values and keys is bounded`() throws {
        var options = ApplicationOptions()
        options.json.values = 100
        options.json.keys = 10
        let server = try TestServer(.router, routes: [echo], options: options)
        func list(_ count: Int) -> String {
            "[" + (0..<count).map { _ in "1" }.joined(separator: ",") + "]"
        }
        func mapping(_ count: Int) -> String {
            "{" + (0..<count).map { "\"\($0)\":1" }.joined(separator: ",") + "}"
        }
        #expect(try server.send(TestRequest("POST", "/echo", body: list(99))).status == 200)
        #expect(try server.send(TestRequest("POST", "/echo", body: list(101))).status == 400)
        #expect(try server.send(TestRequest("POST", "/echo", body: mapping(10))).status == 200)
        #expect(try server.send(TestRequest("POST", "/echo", body: mapping(11))).status == 400)
        // What stands in strings is no value.
        let text = "\"" + String(repeating: ",[{:\\\"", count: 1000) + "\""
        #expect(try server.send(TestRequest("POST", "/echo", body: text)).status == 200)
    }

    @Test func `an error never holds much of the body`() throws {
        let server = try TestServer(.router, routes: [echo])
        let long = String(repeating: "k", count: 100_000)
        for body in [
            "{\"\(long)\":1,\"\(long)\":2}", "[\(String(repeating: "9", count: 100_000))]",
            "[\(long)]",
        ] {
            let response = try server.send(TestRequest("POST", "/echo", body: body))
            #expect(response.status == 400)
            #expect(response.body.count < 600)
        }
    }

    @Test func `altered documents are answered, whatever they are`() throws {
        let server = try TestServer(routes: [echo])
        let good = Array(#"{"a":[1,2.5,"x\u00fc",null,{"b":{"c":[true,false]}}],"d":"e"}"#.utf8)
        var random = SplitMix64(seed: 5)
        for _ in 0..<1000 {
            var request = TestRequest("POST", "/echo", body: "x")
            request.body = random.mutated(good, headBias: 30)
            let status = try server.send(request).status
            #expect(status == 200 || status == 400)
        }
    }
}
