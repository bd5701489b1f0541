// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import Testing

struct RouterTests {
    private let routes = ["/a", "/a/{id}", "/a/b", "/a/{id}/c", "/files/{rest*}"].map { path in
        ClosureRoute("GET", path) { request, responder in
            var answer = ConfigObject()
            answer["path"] = ConfigNode(path)
            for (name, value) in request.captures.sorted(by: { $0.key < $1.key }) {
                answer[name] = ConfigNode(value)
            }
            for parameter in request.target.query {
                answer["?" + parameter.name] = ConfigNode(parameter.value)
            }
            responder.respond(.json(ConfigNode(answer)))
        }
    }

    @Test(
        arguments: Transport.allCases,
        [
            ("/a", ["path": "/a"]), ("/a/b", ["path": "/a/b"]),
            ("/a/x", ["path": "/a/{id}", "id": "x"]),
            ("/a/x/c", ["path": "/a/{id}/c", "id": "x"]),
            ("/a/org%2Fname", ["path": "/a/{id}", "id": "org/name"]),
            ("/a/%C3%BC%20x", ["path": "/a/{id}", "id": "ü x"]),
            ("/a/a+b", ["path": "/a/{id}", "id": "a+b"]),
            ("/files/x/y/z", ["path": "/files/{rest*}", "rest": "x/y/z"]),
            ("/a?x=1&y=a+b%3D&z", ["path": "/a", "?x": "1", "?y": "a b=", "?z": ""]),
            ("/a?", ["path": "/a"]),
        ] as [(String, ConfigNode)])
    func `a path finds its route`(transport: Transport, example: (String, ConfigNode)) throws {
        let server = try TestServer(transport, routes: routes)
        let response = try server.send(TestRequest("GET", example.0))
        #expect(response.json == example.1)
    }

    @Test(
        arguments: Transport.allCases,
        ["/", "//a", "/a/", "/A", "/a/x/d", "/a//c", "/files", "/b", "/a%2Fb", "/a;x"])
    func `other paths are not there`(transport: Transport, path: String) throws {
        let server = try TestServer(transport, routes: routes)
        #expect(try server.send(TestRequest("GET", path)).status == 404)
    }

    @Test(arguments: [
        "", "a", "*", "http://h/a", "/%", "/%4", "/%g0", "/%00", "/\u{7F}", "/a/..", "/%2e",
    ])
    func `what is no path is refused`(target: String) throws {
        let server = try TestServer(.router, routes: routes)
        #expect(try server.send(TestRequest("GET", target)).status == 400)
    }

    @Test func `requests are counted by route, not by path`() throws {
        let registry = MetricsRegistry(showsCreation: false)
        let context = ServerContext(version: "1", registry: registry)
        let server = try TestServer(
            routes: routes + RouteRegistry.routes(context), metrics: HTTPMetrics(registry))
        for path in ["/a/1", "/a/2", "/a/3", "/none/1", "/none/2", "/health", "/metrics"] {
            _ = try server.send(TestRequest("GET", path))
        }
        _ = try server.send(TestRequest("MADEUP", "/a"))
        server.server?.stop(within: .seconds(5))
        let text = registry.text
        for line in [
            "http_requests_total{handler=\"/a/{id}\",method=\"GET\",status=\"2xx\"} 3.0",
            "http_requests_total{handler=\"none\",method=\"GET\",status=\"4xx\"} 2.0",
            "http_requests_total{handler=\"none\",method=\"OTHER\",status=\"4xx\"} 1.0",
            "http_request_duration_seconds_count{handler=\"/a/{id}\",method=\"GET\"} 3.0",
            "http_request_size_bytes_sum{handler=\"/a/{id}\"} 0.0",
            "http_request_duration_highr_seconds_count 6.0",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
        #expect(!text.contains("MADEUP"))
        #expect(!text.contains("/health"))
    }
}
