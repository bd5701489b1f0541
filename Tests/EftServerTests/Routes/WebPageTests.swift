// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import Testing

/// The page, and the numbers that it shows.
struct WebPageTests {
    private static let parts = [
        ("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript"),
    ]

    private func server(
        _ transport: Transport, keys: [String] = []
    ) throws -> TestServer {
        var context = try DemoServer().context
        context.memory = [("weights", 300), ("KV cache", 200)]
        context.memoryLimit = 600
        var options = ApplicationOptions()
        options.keys = APIKeys(keys)
        return try TestServer(
            transport, routes: RouteRegistry.routes(context), options: options)
    }

    @Test(arguments: Transport.allCases)
    func `the page is open to all and may load nothing from elsewhere`(
        transport: Transport
    ) throws {
        let server = try server(transport, keys: ["one"])
        for (path, type) in WebPageTests.parts {
            let response = try server.send(TestRequest("GET", path))
            #expect(response.status == 200)
            #expect(response.fields["Content-Type"] == "\(type); charset=utf-8")
            #expect(response.fields["X-Content-Type-Options"] == "nosniff")
            let policy = response.fields["Content-Security-Policy"] ?? ""
            #expect(policy.hasPrefix("default-src 'self';"))
            #expect(!policy.contains("unsafe"))
            for scheme in ["http:", "https:", "//cdn", "wss:", "@import", "innerHTML", "eval("] {
                #expect(!response.text.contains(scheme), "\(path) has \(scheme)")
            }
        }
    }

    @Test func `the page has neither scripts nor styles in its text`() throws {
        let page = try server(.router).send(TestRequest("GET", "/")).text
        #expect(page.hasPrefix("<!doctype html>"))
        #expect(page.contains("<script type=\"module\" src=\"page.js\"></script>"))
        #expect(page.split(separator: "<script").count == 2)
        for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            #expect(!page.contains(forbidden))
        }
    }

    @Test(arguments: Transport.allCases)
    func `the status needs a key and tells of memory and engine`(transport: Transport) throws {
        let server = try server(transport, keys: ["one"])
        #expect(try server.send(TestRequest("GET", "/status")).status == 401)
        let response = try server.send(
            TestRequest("GET", "/status", fields: ["Authorization": "Bearer one"]))
        #expect(response.status == 200)
        #expect(response.value("model") == "demo")
        #expect(response.value("max_model_len") == 512)
        #expect(response.value("chat_template") == true)
        #expect(response.value("memory", "limit") == 600)
        #expect(
            response.value("memory", "planned") == [
                ["purpose": "weights", "bytes": 300], ["purpose": "KV cache", "bytes": 200],
            ])
        guard case .integer(let resident)? = response.value("memory", "resident")?.value else {
            Issue.record("the resident bytes are no number")
            return
        }
        #expect(resident > 1 << 20)
        #expect(response.value("engine", "pages") == 256)
        #expect(response.value("engine", "page_tokens") == 16)
        #expect(response.value("engine", "running") == 0)
        #expect(response.value("engine", "generated_tokens") == 0)
    }
}
