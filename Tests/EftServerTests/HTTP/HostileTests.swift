// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Requests that are wrong, too large, too slow or never whole. After each the server answers as ever.
struct HostileTests {
    private let routes = [ClosureRoute.measure, ClosureRoute.hello]

    private func expectAlive(_ server: TestServer) throws {
        server.disconnect()
        #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
        server.disconnect()
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(server.server?.requestCount == 0)
        #expect(server.server?.heldBodyBytes == 0)
    }

    private func status(of socket: RawSocket) -> Int? { try? socket.readResponse().status }

    // MARK: Headers

    @Test func `a header beyond the limit is refused`() throws {
        let server = try TestServer(routes: routes)
        for size in [60_000, 70_000, 200_000, 2_000_000] {
            let socket = try server.connect()
            try? socket.send(
                "GET /hello HTTP/1.1\nHost: h\nX: \(String(repeating: "x", count: size))\n\n")
            let found = status(of: socket)
            #expect(size < 65536 ? found == 200 : found == 431 || found == nil)
        }
        try expectAlive(server)
    }

    @Test(arguments: Transport.allCases)
    func `too many fields are refused`(transport: Transport) throws {
        let server = try TestServer(transport, routes: routes)
        var request = TestRequest("GET", "/hello")
        for number in 0..<100 { request.fields.add("X-\(number)", "v") }
        #expect(try server.send(request).status == 200)
        for number in 100..<300 { request.fields.add("X-\(number)", "v") }
        let refused = try server.send(request)
        #expect(refused.status == 431)
        #expect(refused.value("error", "code") == 431)
    }

    @Test func `a long target is refused`() throws {
        let server = try TestServer(routes: routes)
        for size in [70_000, 1_000_000] {
            let socket = try server.connect()
            try? socket.send("GET /\(String(repeating: "a", count: size)) HTTP/1.1\nHost: h\n\n")
            let found = status(of: socket)
            #expect(found == 414 || found == 431 || found == nil)
        }
        try expectAlive(server)
    }

    private static let malformed = [
        "GET\n\n", "GET /hello\n\n", "/hello HTTP/1.1\n\n", "GET /hello HTTP/9.9\nHost: h\n\n",
        "GET /hello HTTP/1.1 extra\nHost: h\n\n", "GET /hello FTP/1.1\nHost: h\n\n",
        "\u{0}\u{0}\u{0}\n\n", "GET /hello HTTP/1.1\n\n", "PRI * HTTP/2.0\n\nSM\n\n",
        "GET http://127.0.0.1/hello HTTP/1.1\nHost: h\n\n", "GET * HTTP/1.1\nHost: h\n\n",
        "GET hello HTTP/1.1\nHost: h\n\n", "GET /hello HTTP/1.1\nno colon\nHost: h\n\n",
        "GET /%zz HTTP/1.1\nHost: h\n\n", "GET /hello%00 HTTP/1.1\nHost: h\n\n",
        "GET /x/../hello HTTP/1.1\nHost: h\n\n", "GET /%2e%2e/hello HTTP/1.1\nHost: h\n\n",
        "GET /hello/%ff HTTP/1.1\nHost: h\n\n",
    ]

    @Test func `a malformed request is not served`() throws {
        let server = try TestServer(routes: routes)
        for text in HostileTests.malformed {
            let socket = try server.connect()
            try socket.send(text)
            socket.closeSending()
            let found = status(of: socket)
            #expect(found == nil || (400...505).contains(found ?? 0), "\(text)")
        }
        try expectAlive(server)
    }

    /// What libmicrohttpd finds wrong by itself, and the status.
    private static let unreadable: [(text: String, status: Int)] = [
        ("GET /hello\n\n", 400), ("/hello HTTP/1.1\n\n", 400),
        ("GET /hello HTTP/9.9\nHost: h\n\n", 505), ("GET /hello HTTP/0.9\nHost: h\n\n", 505),
        ("PRI * HTTP/2.0\n\nSM\n\n", 505),
        ("GET /hello HTTP/1.1 extra\nHost: h\n\n", 400),
        ("GET /hello HTTP/1.1\n\n", 400), ("GET /hello HTTP/1.1\nno colon\nHost: h\n\n", 400),
        ("POST /measure HTTP/1.1\nHost: h\nContent-Length: -1\n\n", 400),
        ("POST /measure HTTP/1.1\nHost: h\nContent-Length: 99999999999999999999999\n\n", 413),
        ("GET /\(String(repeating: "a", count: 140_000)) HTTP/1.1\nHost: h\n\n", 414),
        (
            "GET / HTTP/1.1\nHost: h\nX: \(String(repeating: "x", count: 140_000))\n\n", 431
        ),
        (
            "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\n"
                + "Transfer-Encoding: chunked\n\nzz\nhello\n", 400
        ),
        ("BREW /hello HTTP/1.1\nHost: h\n\n", 405),
        ("POST /measure HTTP/1.1\nHost: h\nTransfer-Encoding: gzip\n\n", 501),
        ("GET /hello HTTP/1.1\nHost: h\nHost: h\n\n", 400),
    ]

    @Test(arguments: [false, true])
    func `errors in what cannot be read have the form of all errors`(isEncrypted: Bool) throws {
        let secrets = ServerOptions.Secrets(
            certificate: TestCertificate.certificate, key: TestCertificate.key)
        let server = try TestServer(routes: routes) { $0.secrets = isEncrypted ? secrets : nil }
        let address = try #require(server.server?.address)
        // An encrypted request that is not read to its end may be reset before its answer is there.
        for (text, status) in HostileTests.unreadable
        where !isEncrypted || text.utf8.count < 65536 {
            let socket = try RawSocket(
                address, certificate: isEncrypted ? TestCertificate.certificate : nil)
            // Another good request before: its answer stays whole.
            try socket.send(TestRequest("GET", "/hello").bytes)
            #expect(try socket.readResponse().text == "hello")
            try? socket.send(text)
            // Ends a plain connection's half, so that the server waits for nothing more.
            if !isEncrypted { socket.closeSending() }
            let response = try socket.readResponse()
            #expect(response.status == status, "\(excerpt(text, limit: 60))")
            #expect(response.fields["Content-Type"] == "application/json")
            #expect(response.value("error", "code") == ConfigNode(status))
            #expect(response.value("error", "message").text?.isEmpty == false)
            #expect(response.value("error", "type").text?.hasSuffix("Error") == true)
            if status == 405 { continue }
            // Nothing follows, neither a second head nor an answer to what was not read.
            #expect(socket.receiveAll().isEmpty, "\(excerpt(text, limit: 60))")
        }
        if !isEncrypted { try expectAlive(server) }
    }

    @Test func `a head alone is answered as the whole would be`() throws {
        let server = try TestServer(routes: routes)
        let whole = try server.send(TestRequest("GET", "/hello"))
        let head = try server.send(TestRequest("HEAD", "/hello"))
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(head.fields["Content-Length"] == whole.fields["Content-Length"])
        #expect(try server.send(TestRequest("HEAD", "/measure")).status == 405)
        #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
    }

    @Test func `the host of a request decides nothing`() throws {
        let server = try TestServer(routes: routes)
        for host in ["evil", "/hello", "127.0.0.1/health?", "a@b:c", ""] {
            let socket = try server.connect()
            try socket.send("GET /nowhere HTTP/1.1\nHost: \(host)\n\n")
            #expect(status(of: socket) == 404)
        }
    }

    // MARK: Bodies

    private static let doubtful = [
        "Content-Length: -1", "Content-Length: 99999999999999999999999", "Content-Length: 1x",
        "Content-Length: 5\nContent-Length: 6", "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "Content-Length:",
    ]

    @Test func `a body of doubtful length is refused`() throws {
        let server = try TestServer(routes: routes)
        for fields in HostileTests.doubtful {
            let socket = try server.connect()
            try socket.send(
                "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\n\(fields)\n\n"
                    + "5\nhello\n0\n\nGET /hello HTTP/1.1\nHost: h\n\n")
            socket.closeSending()
            let answer = String(decoding: socket.receiveAll(), as: UTF8.self)
            // Whatever is said, the text behind the header is never taken for a second request and served.
            #expect(!answer.contains("hello"), "\(fields)")
            #expect(
                answer.isEmpty || answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 5"),
                "\(fields)")
        }
        try expectAlive(server)
    }

    @Test func `a body in chunks is put together`() throws {
        let server = try TestServer(routes: routes)
        let socket = try server.connect()
        let head =
            "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"
        try socket.send(head + "5\n12345\n3;name=value\nabc\n0\nTrailer: x\n\n")
        #expect(try socket.readResponse().json == ["count": 8, "sum": 549])
        socket.close()
        for chunks in ["zz\nhello\n", "-1\nx\n", "ffffffffffffffffff\nx\n", "5\nhellogoodbye\n"] {
            let socket = try server.connect()
            try socket.send(head + chunks)
            socket.closeSending()
            let found = status(of: socket)
            #expect(found == nil || found == 400 || found == 413)
        }
        try expectAlive(server)
    }

    @Test func `requests sent at once are answered in order`() throws {
        let server = try TestServer(routes: routes)
        let socket = try server.connect()
        var bytes: [UInt8] = []
        for number in 0..<30 {
            bytes +=
                TestRequest("POST", "/measure", body: String(repeating: "a", count: number))
                .bytes
            bytes += TestRequest("GET", "/hello").bytes
        }
        try socket.send(bytes)
        for number in 0..<30 {
            let response = try socket.readResponse()
            // A body of no bytes is announced as JSON, but not there.
            #expect(response.json == ["count": ConfigNode(number), "sum": ConfigNode(97 * number)])
            #expect(try socket.readResponse().text == "hello")
        }
        socket.close()
        try expectAlive(server)
    }

    @Test func `a body beyond the limit is refused, and the connection goes on`() throws {
        var options = ApplicationOptions()
        options.bodyLimit = 1000
        let server = try TestServer(routes: routes, options: options)
        let exact = TestRequest("POST", "/measure", body: String(repeating: "a", count: 1000))
        #expect(try server.send(exact).status == 200)
        let over = TestRequest("POST", "/measure", body: String(repeating: "a", count: 1001))
        let refused = try server.send(over)
        #expect(refused.status == 413)
        #expect(refused.value("error", "code") == 413)
        #expect(refused.fields["Connection"] != "close")
        #expect(try server.send(exact).status == 200)

        let socket = try server.connect()
        try socket.send(
            "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"
        )
        for _ in 0..<11 { try socket.send("64\n\(String(repeating: "a", count: 100))\n") }
        try socket.send("0\n\n")
        #expect(status(of: socket) == 413)
        socket.close()
        try expectAlive(server)
    }

    @Test(arguments: ["POST", "GET", "DELETE", "PUT"])
    func `a body far beyond the limit is not even read`(method: String) throws {
        var options = ApplicationOptions()
        options.bodyLimit = 1000
        let server = try TestServer(routes: routes, options: options)
        let socket = try server.connect()
        try socket.send("\(method) /measure HTTP/1.1\nHost: h\nContent-Length: 1000000\n\n")
        let response = try socket.readResponse()
        #expect([405, 413].contains(response.status))
        #expect(response.fields["Connection"] == "close")
        #expect(socket.isClosed())

        let endless = try server.connect()
        try endless.send("\(method) /measure HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n")
        for _ in 0..<10_000 {
            do {
                try endless.send("64\n\(String(repeating: "a", count: 100))\n")
            } catch { break }
        }
        #expect(endless.receiveAll().count < 2000)
        try expectAlive(server)
    }

    @Test func `a client that waits for leave to send learns of a refusal`() throws {
        var options = ApplicationOptions()
        options.bodyLimit = 1000
        let server = try TestServer(routes: routes, options: options)
        let head = "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\n"
        let refused = try server.connect()
        try refused.send(head + "Expect: 100-continue\nContent-Length: 1500\n\n")
        #expect(try refused.readHead().status == 413)
        let accepted = try server.connect()
        try accepted.send(head + "Expect: 100-continue\nContent-Length: 5\n\n")
        #expect(try accepted.readHead().status == 100)
        try accepted.send("12345")
        #expect(try accepted.readResponse().json == ["count": 5, "sum": 255])
    }

    @Test func `all bodies together are bounded`() throws {
        var options = ApplicationOptions()
        options.allBodiesLimit = 10_000
        let server = try TestServer(routes: routes, options: options)
        // Nine thousand bytes are held by a request that is never whole.
        let holder = try server.connect()
        try holder.send(
            "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\nContent-Length: 9001\n\n"
                + String(repeating: "a", count: 9000))
        #expect(eventually { server.server?.heldBodyBytes == 9000 })
        let large = TestRequest("POST", "/measure", body: String(repeating: "a", count: 2000))
        let refused = try server.send(large)
        #expect(refused.status == 503)
        #expect(refused.fields["Retry-After"] == "1")
        holder.close()
        #expect(eventually { server.server?.heldBodyBytes == 0 })
        #expect(try server.send(large).status == 200)
        try expectAlive(server)
    }

    // MARK: Time

    @Test func `a slow header is cut off`() throws {
        let server = try TestServer(routes: routes) { $0.headerTimeout = .milliseconds(300) }
        for start in ["", "G", "GET /hello HTTP/1.1\r\n", "GET /hello HTTP/1.1\r\nHost: h\r\n"] {
            let socket = try server.connect()
            try socket.send(Array(start.utf8))
            var isOpen = true
            // A byte now and then keeps nothing open.
            for _ in 0..<100 where isOpen {
                usleep(50_000)
                do { try socket.send(Array("X".utf8)) } catch { isOpen = false }
            }
            #expect(!isOpen)
        }
        try expectAlive(server)
    }

    @Test func `a slow body is cut off`() throws {
        let server = try TestServer(routes: routes) { $0.bodyTimeout = .milliseconds(300) }
        let socket = try server.connect()
        try socket.send(
            "POST /measure HTTP/1.1\nHost: h\nContent-Type: application/json\nContent-Length: 1000\n\n"
        )
        var isOpen = true
        for _ in 0..<100 where isOpen {
            usleep(50_000)
            do { try socket.send(Array("X".utf8)) } catch { isOpen = false }
        }
        #expect(!isOpen)
        try expectAlive(server)
    }

    @Test func `an idle connection is closed in time`() throws {
        let server = try TestServer(routes: routes) { $0.keepAliveTimeout = .milliseconds(300) }
        let socket = try server.connect()
        for _ in 0..<3 {
            try socket.send(TestRequest("GET", "/hello").bytes)
            #expect(try socket.readResponse().text == "hello")
            usleep(50_000)
        }
        #expect(socket.isClosed())
        try expectAlive(server)
    }

    // MARK: Numbers

    @Test func `a thousand idle connections keep nobody out`() throws {
        let server = try TestServer(routes: routes) { $0.connectionLimit = 1100 }
        var sockets: [RawSocket] = []
        for number in 0..<1000 {
            let socket = try server.connect()
            if number % 2 == 0 { try socket.send("GET /hel") }
            sockets.append(socket)
        }
        #expect(eventually { server.server?.connectionCount == 1000 })
        for _ in 0..<20 {
            #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
        }
        sockets = []
        try expectAlive(server)
    }

    @Test func `connections beyond the limit wait or are closed`() throws {
        let server = try TestServer(routes: routes) { options in
            options.connectionLimit = 4
            options.headerTimeout = .milliseconds(400)
        }
        let idle = try (0..<12).map { _ in try server.connect() }
        #expect(eventually { server.server?.connectionCount == 4 })
        // The idle ones are cut off, and then there is room.
        #expect(
            eventually { (try? server.send(TestRequest("GET", "/hello")))?.text == "hello" })
        withExtendedLifetime(idle) {}
    }

    @Test func `clients that leave at any point leave nothing behind`() throws {
        let server = try TestServer(routes: routes)
        let bytes = TestRequest("POST", "/measure", body: String(repeating: "b", count: 40)).bytes
        for count in 0...bytes.count {
            for isReset in [false, true] {
                let socket = try server.connect()
                try socket.send(Array(bytes.prefix(count)))
                if isReset { socket.reset() } else { socket.close() }
            }
        }
        try expectAlive(server)
    }

    // MARK: Chance

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `random bytes are survived`(seed: UInt64) throws {
        let server = try TestServer(routes: routes) { options in
            options.headerTimeout = .milliseconds(200)
            options.bodyTimeout = .milliseconds(200)
        }
        var random = SplitMix64(seed: seed)
        let good =
            TestRequest("POST", "/measure", body: "{\"a\": [1, 2, 3]}").bytes
            + Array(
                "POST /measure HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                    .utf8)
        var sockets: [RawSocket] = []
        for _ in 0..<60 {
            let socket = try server.connect()
            var bytes = random.mutated(good, headBias: 60)
            while !bytes.isEmpty {
                let count = Int.random(in: 1...bytes.count, using: &random)
                do { try socket.send(Array(bytes.prefix(count))) } catch { break }
                bytes.removeFirst(count)
            }
            if Bool.random(using: &random) { socket.reset() } else { socket.closeSending() }
            sockets.append(socket)
        }
        for socket in sockets where socket.descriptor >= 0 { _ = socket.receiveAll() }
        sockets = []
        try expectAlive(server)
    }
}
