// SPDX-License-Identifier: Apache-2.0
import EftConfig
import Testing

@testable import EftServer

/// What Ollama's clients find out about a server before they ask it anything.
struct OllamaListTests {
    private func server(_ transport: Transport) throws -> TestServer {
        try DemoServer.shared().server(transport)
    }

    @Test(arguments: Transport.allCases)
    func `models are listed with their tags and facts`(transport: Transport) throws {
        let server = try server(transport)
        let tags = try server.send(TestRequest("GET", "/api/tags")).json
        let names = tags["models"].items.map { Optional($0)["name"].text ?? "" }
        #expect(names.starts(with: ["demo:latest", "alias:latest"]))
        let first = tags["models"][0]
        #expect(first["model"] == "demo:latest")
        #expect(first["size"].integer ?? 0 > 1_000_000)
        #expect(first["digest"].text?.count == 64)
        #expect(first["modified_at"].text?.hasSuffix("Z") == true)
        let details = first["details"]
        #expect(details["format"] == "safetensors")
        #expect(details["family"] == "llama")
        #expect(details["families"] == ["llama"])
        #expect(details["parameter_size"].text?.hasSuffix("M") == true)
        #expect(["F32", "F16", "BF16"].contains(details["quantization_level"].text))
        #expect(details["parent_model"] == "")

        let held = try server.send(TestRequest("GET", "/api/ps")).json
        #expect(held["models"][0]["name"] == "demo:latest")
        #expect(held["models"][0]["digest"] == first["digest"])
        #expect(held["models"][0]["context_length"] == 512)
        #expect(held["models"][0]["expires_at"].text?.isEmpty == false)

        let version = try server.send(TestRequest("GET", "/api/version")).json
        #expect(version["version"].text?.split(separator: ".").count == 3)
        #expect(version["server"] == "eft 1.2.3")
    }

    @Test func `a model is shown with all that is known of it`() throws {
        let demo = try DemoServer.shared()
        for body in [["model": "demo"], ["name": "alias:latest"]] as [ConfigNode] {
            let shown = try demo.answer("/api/show", body)
            #expect(shown["details"]["family"] == "llama")
            #expect(shown["model_info"]["general.architecture"] == "llama")
            #expect(shown["model_info"]["general.parameter_count"].integer ?? 0 > 1_000_000)
            #expect(shown["model_info"]["llama.context_length"] == 512)
            #expect(shown["model_info"]["llama.block_count"] == 4)
            #expect(shown["model_info"]["llama.embedding_length"] == 256)
            #expect(shown["capabilities"] == ["completion", "tools", "thinking"])
            #expect(shown["template"].text?.contains("message.role") == true)
            #expect(shown["parameters"].text?.contains("temperature") == true)
            #expect(shown["modelfile"].text?.hasPrefix("FROM ") == true)
        }
    }

    @Test func `names have a tag or none, on all routes`() throws {
        let demo = try DemoServer.shared()
        for name in ["demo", "demo:latest", "alias:latest", ""] {
            let answer = try demo.answer(
                "/v1/completions",
                ["model": ConfigNode(name), "prompt": "x", "max_tokens": 1, "temperature": 0])
            #expect(answer["model"].text == (name.isEmpty ? "demo" : name))
        }
        for name in ["demo:7b", "latest", ":latest", "nobody", "demo:latest:latest"] {
            for (path, body) in [
                ("/api/chat", ["messages": [["role": "user", "content": "x"]]]),
                ("/api/generate", ["prompt": "x"]), ("/api/show", [:]),
                ("/api/embed", ["input": "x"]), ("/api/embeddings", ["prompt": "x"]),
            ] as [(String, ConfigObject)] {
                var body = body
                body["model"] = ConfigNode(name)
                let response = try demo.post(path, ConfigNode(body))
                #expect(response.status == 404)
                #expect(response.json == ["error": ConfigNode("model '\(name)' not found")])
            }
        }
        #expect(ServedModel.tagged("a/b:c/d") == "a/b:c/d:latest")
        #expect(ServedModel.tagged("a:b") == "a:b")
    }

    @Test(arguments: Transport.allCases)
    func `clients that probe for Ollama get its answer, and browsers get the page`(
        transport: Transport
    ) throws {
        let server = try server(transport)
        for accept in ["*/*", "application/json", "text/plain"] {
            let probed = try server.send(TestRequest("GET", "/", fields: ["Accept": accept]))
            #expect(probed.text == "Ollama is running")
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        for fields in [["Accept": browser], [:]] as [HeaderFields] {
            let page = try server.send(TestRequest("GET", "/", fields: fields))
            #expect(page.text.hasPrefix("<!doctype html>"))
        }
        let head = try server.send(TestRequest("HEAD", "/", fields: ["Accept": "*/*"]))
        #expect(head.status == 200)
    }

    @Test(arguments: Transport.allCases)
    func `what a store of models would serve is refused clearly`(transport: Transport) throws {
        let server = try server(transport)
        for (method, path) in [
            ("POST", "/api/pull"), ("POST", "/api/push"), ("POST", "/api/create"),
            ("POST", "/api/copy"), ("DELETE", "/api/delete"), ("HEAD", "/api/blobs/sha256:1"),
            ("POST", "/api/blobs/sha256:1"),
        ] {
            let response = try server.send(TestRequest(method, path, body: "{}"))
            #expect(response.status == 501, "\(path)")
            if method != "HEAD" {
                #expect(response.value("error").text?.contains("is not served") == true)
            }
        }
        let missing = try server.send(TestRequest("GET", "/api/nothing"))
        #expect(missing.status == 404)
        #expect(missing.json == ["error": "there is nothing at /api/nothing"])
        let wrong = try server.send(TestRequest("GET", "/api/chat"))
        #expect(wrong.status == 405)
        #expect(wrong.value("error").text?.isEmpty == false)
    }

    @Test(arguments: Transport.allCases)
    func `keys guard Ollama's routes too`(transport: Transport) throws {
        var options = ApplicationOptions()
        options.keys = APIKeys(["one"])
        let server = try TestServer(
            transport, routes: try DemoServer.shared().routes, options: options)
        for (method, path) in [
            ("GET", "/api/tags"), ("GET", "/api/version"), ("POST", "/api/chat"),
            ("POST", "/api/pull"),
        ] {
            let response = try server.send(TestRequest(method, path))
            #expect(response.status == 401)
            #expect(response.value("error").text?.contains("key") == true)
        }
        let fields: HeaderFields = ["Authorization": "Bearer one"]
        #expect(try server.send(TestRequest("GET", "/api/tags", fields: fields)).status == 200)
    }
}
