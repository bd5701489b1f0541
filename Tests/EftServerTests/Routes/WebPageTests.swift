// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftGeneration
import Testing

@testable import EftServer

/// The page, and the numbers that it shows.
struct WebPageTests {
    private static let parts =
        [("/", "text/html"), ("/page.css", "text/css")]
        + PageScripts.all.map { ("/page/\($0.name)", "text/javascript") }

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
            #expect(!response.text.isEmpty)
            for scheme in ["http:", "https:", "//cdn", "wss:", "@import", "innerHTML", "eval("] {
                #expect(!response.text.contains(scheme), "\(path) has \(scheme)")
            }
        }
    }

    @Test func `the page has neither scripts nor styles in its text`() throws {
        let page = try server(.router).send(TestRequest("GET", "/")).text
        #expect(page.hasPrefix("<!doctype html>"))
        #expect(page.contains("<script type=\"module\" src=\"page/main.js\"></script>"))
        #expect(page.split(separator: "<script").count == 2)
        for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            #expect(!page.contains(forbidden))
        }
    }

    @Test func `scripts import scripts that there are, and others are not found`() throws {
        let server = try server(.router)
        let names = Set(PageScripts.all.map { $0.name })
        #expect(names.count == PageScripts.all.count)
        for script in PageScripts.all {
            let imported = script.text.matches(of: /from "\.\/([^"]*)"/).map { String($0.1) }
            #expect(Set(imported).subtracting(names).isEmpty, "\(script.name)")
        }
        for name in ["none.js", "..%2Fpage.css", "main"] {
            #expect(try server.send(TestRequest("GET", "/page/\(name)")).status == 404)
        }
    }

    @Test func `the status has the settings that the model recommends`() throws {
        var defaults = SamplingDefaults()
        #expect(defaults.recommended.isEmpty)
        defaults = SamplingDefaults(
            generationConfig: ["temperature": 0.6, "top_k": 20, "top_p": 7, "max_new_tokens": 99])
        #expect(defaults.recommended == ["temperature", "top_k", "max_tokens"])
        let response = try server(.router).send(TestRequest("GET", "/status"))
        #expect(
            response.value("sampling_defaults") == [
                "temperature": .null, "top_p": .null, "top_k": .null, "min_p": .null,
                "repetition_penalty": .null, "max_tokens": .null,
            ])
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
