// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import Testing

/// Who is let in, and what is added to answers.
struct AccessTests {
    private func server(
        _ transport: Transport, metrics: RouteAccess = .keyed,
        _ change: (inout ApplicationOptions) -> Void
    ) throws -> TestServer {
        var context = ServerContext(version: "1", registry: MetricsRegistry())
        context.metricsAccess = metrics
        var options = ApplicationOptions()
        change(&options)
        return try TestServer(
            transport,
            routes: RouteRegistry.routes(context) + [ClosureRoute.hello, ClosureRoute.measure],
            options: options)
    }

    // MARK: Keys

    @Test(arguments: Transport.allCases)
    func `all but health and ping need a key`(transport: Transport) throws {
        let server = try server(transport) { $0.keys = APIKeys(["one", "two"]) }
        for path in ["/health", "/ping"] {
            #expect(try server.send(TestRequest("GET", path)).status == 200)
        }
        let guarded = [
            ("GET", "/hello"), ("GET", "/version"), ("GET", "/load"), ("GET", "/metrics"),
            ("GET", "/nowhere"), ("PUT", "/hello"), ("OPTIONS", "/hello"), ("POST", "/measure"),
            ("GET", "/health/"), ("GET", "//health"), ("PUT", "/health"),
        ]
        for (method, path) in guarded {
            let response = try server.send(TestRequest(method, path))
            #expect(response.status == 401, "\(method) \(path)")
            #expect(response.value("error", "code") == 401)
            #expect(response.value("error", "type") == "AuthenticationError")
            #expect(response.fields["WWW-Authenticate"] == "Bearer")
        }
        for key in ["one", "two"] {
            let fields: HeaderFields = ["Authorization": "Bearer \(key)"]
            #expect(try server.send(TestRequest("GET", "/hello", fields: fields)).status == 200)
            #expect(try server.send(TestRequest("GET", "/nowhere", fields: fields)).status == 404)
        }
    }

    @Test(
        arguments: Transport.allCases,
        [
            "", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Bearer one two", "Bearer One",
            "one", "Basic one", "bearer\tone", "Bearer \u{0}one", "Bearer  one",
        ])
    func `what is no key is refused`(transport: Transport, value: String) throws {
        let server = try server(transport) { $0.keys = APIKeys(["one"]) }
        let response = try server.send(
            TestRequest("GET", "/hello", fields: ["Authorization": value]))
        // A zero in a header is refused before anybody looks for keys.
        #expect([400, 401].contains(response.status))
    }

    @Test(arguments: Transport.allCases)
    func `the word Bearer may be written in any case`(transport: Transport) throws {
        let server = try server(transport) { $0.keys = APIKeys(["one"]) }
        let fields: HeaderFields = ["authorization": "bearer one"]
        #expect(try server.send(TestRequest("GET", "/hello", fields: fields)).status == 200)
    }

    @Test(arguments: Transport.allCases)
    func `metrics can be opened`(transport: Transport) throws {
        let server = try server(transport, metrics: .open) { $0.keys = APIKeys(["one"]) }
        #expect(try server.send(TestRequest("GET", "/metrics")).status == 200)
        #expect(try server.send(TestRequest("GET", "/version")).status == 401)
    }

    @Test func `the body of a request without a key is not kept`() throws {
        let server = try server(.live) { $0.keys = APIKeys(["one"]) }
        let socket = try server.connect()
        try socket.send("POST /measure HTTP/1.1\nHost: h\nContent-Length: 5000\n\n")
        try socket.send([UInt8](repeating: 97, count: 4999))
        #expect(eventually { server.server?.requestCount == 1 })
        #expect(server.server?.heldBodyBytes == 0)
        try socket.send([97])
        #expect(try socket.readResponse().status == 401)
    }

    // MARK: Origins

    @Test(arguments: Transport.allCases)
    func `no origin is allowed by default`(transport: Transport) throws {
        let server = try server(transport) { _ in }
        let fields: HeaderFields = [
            "Origin": "https://a.example", "Access-Control-Request-Method": "POST",
        ]
        let simple = try server.send(TestRequest("GET", "/hello", fields: fields))
        #expect(simple.status == 200)
        #expect(simple.fields["Access-Control-Allow-Origin"] == nil)
        #expect(try server.send(TestRequest("OPTIONS", "/hello", fields: fields)).status == 405)
    }

    @Test(arguments: Transport.allCases)
    func `allowed origins are told so, before keys`(transport: Transport) throws {
        let server = try server(transport) { options in
            options.origins = AllowedOrigins(["https://a.example"])
            options.keys = APIKeys(["one"])
        }
        let asks: HeaderFields = [
            "Origin": "https://a.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        ]
        let preflight = try server.send(TestRequest("OPTIONS", "/measure", fields: asks))
        #expect(preflight.status == 204)
        #expect(preflight.fields["Access-Control-Allow-Origin"] == "https://a.example")
        #expect(preflight.fields["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS")
        #expect(preflight.fields["Access-Control-Allow-Headers"] == "authorization,content-type")
        #expect(preflight.fields["Vary"] == "Origin")
        // Also failures, so that the page can read them.
        let refused = try server.send(
            TestRequest("GET", "/hello", fields: ["Origin": "https://a.example"]))
        #expect(refused.status == 401)
        #expect(refused.fields["Access-Control-Allow-Origin"] == "https://a.example")

        for origin in ["https://b.example", "https://a.example.evil", "null", "https://A.example"] {
            var other = asks
            other.set("Origin", origin)
            let response = try server.send(TestRequest("OPTIONS", "/measure", fields: other))
            #expect(response.status == 403)
            #expect(response.fields["Access-Control-Allow-Origin"] == nil)
        }
    }

    @Test(arguments: Transport.allCases)
    func `all origins can be allowed`(transport: Transport) throws {
        let server = try server(transport) { $0.origins = AllowedOrigins(["*"]) }
        let response = try server.send(
            TestRequest("GET", "/hello", fields: ["Origin": "https://any.example"]))
        #expect(response.fields["Access-Control-Allow-Origin"] == "https://any.example")
    }

    // MARK: Labels

    @Test(arguments: Transport.allCases)
    func `a request's name is sent back when that is wanted`(transport: Transport) throws {
        let server = try server(transport) { $0.sendsRequestID = true }
        let named = try server.send(
            TestRequest("GET", "/hello", fields: ["X-Request-Id": "client-1:a.b_C"]))
        #expect(named.fields["X-Request-Id"] == "client-1:a.b_C")
        var own: Set<String> = []
        for name in ["", "has space", "ü", String(repeating: "x", count: 129), "a;b", "<script>"] {
            let response = try server.send(
                TestRequest("GET", "/hello", fields: ["X-Request-Id": name]))
            let id = response.fields["X-Request-Id"] ?? ""
            #expect(id != name && !id.isEmpty)
            own.insert(id)
        }
        #expect(own.count == 6)
        let longest = String(repeating: "x", count: 128)
        let response = try server.send(
            TestRequest("GET", "/hello", fields: ["X-Request-Id": longest]))
        #expect(response.fields["X-Request-Id"] == longest)
    }

    @Test(arguments: Transport.allCases)
    func `a request's name is not sent back otherwise`(transport: Transport) throws {
        let server = try server(transport) { _ in }
        let response = try server.send(
            TestRequest("GET", "/hello", fields: ["X-Request-Id": "a"]))
        #expect(response.fields["X-Request-Id"] == nil)
    }
}
