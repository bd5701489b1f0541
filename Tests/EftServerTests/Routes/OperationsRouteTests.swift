// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftServer
import EftTestSupport
import Testing

struct OperationsRouteTests {
    private func server(
        _ transport: Transport, _ change: (inout ServerContext) -> Void = { _ in }
    ) throws -> TestServer {
        var context = ServerContext(version: "1.2.3", registry: MetricsRegistry())
        change(&context)
        return try TestServer(transport, routes: RouteRegistry.routes(context))
    }

    @Test func `every file of routes is registered`() throws {
        let files = try FileSystem.list(
            FileSystem.join(Fixtures.packageRoot, "Sources/EftServer/Routes"))
        let types = RouteRegistry.all.map { "\($0).swift" }
        #expect(types.sorted() == files.sorted())
    }

    @Test(arguments: Transport.allCases)
    func `health and ping tell whether the engine works`(transport: Transport) throws {
        let well = try server(transport)
        let ill = try server(transport) { $0.isHealthy = { false } }
        for (method, path) in [("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")] {
            let good = try well.send(TestRequest(method, path))
            #expect(good.status == 200)
            #expect(good.body.isEmpty)
            let bad = try ill.send(TestRequest(method, path))
            #expect(bad.status == 503)
            #expect(bad.body.isEmpty)
        }
    }

    @Test(arguments: Transport.allCases)
    func `version and load are told`(transport: Transport) throws {
        let server = try server(transport) { $0.load = { 7 } }
        let version = try server.send(TestRequest("GET", "/version"))
        #expect(version.json == ["version": "1.2.3"])
        #expect(version.fields["Content-Type"] == "application/json")
        #expect(try server.send(TestRequest("GET", "/load")).json == ["server_load": 7])
    }

    @Test(arguments: Transport.allCases)
    func `metrics are text`(transport: Transport) throws {
        let server = try server(transport) { context in
            context.registry.gauge("things", help: "Things.")[[]].set(3)
        }
        let response = try server.send(TestRequest("GET", "/metrics"))
        #expect(response.status == 200)
        #expect(response.fields["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        #expect(response.text == "# HELP things Things.\n# TYPE things gauge\nthings 3.0\n")
    }

    @Test(arguments: Transport.allCases)
    func `what is not there is told in the usual shape`(transport: Transport) throws {
        let server = try server(transport)
        let response = try server.send(TestRequest("GET", "/nowhere"))
        #expect(response.status == 404)
        #expect(
            response.json == [
                "error": [
                    "message": "there is nothing at /nowhere", "type": "NotFoundError",
                    "param": .null, "code": 404,
                ]
            ])
    }

    @Test(arguments: Transport.allCases)
    func `a wrong method is told the right ones`(transport: Transport) throws {
        let server = try server(transport)
        let response = try server.send(TestRequest("PUT", "/ping"))
        #expect(response.status == 405)
        #expect(response.fields["Allow"] == "GET, HEAD, POST")
        #expect(response.value("error", "code") == 405)
    }
}
