// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftServer
import EftTestSupport
import Testing

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
