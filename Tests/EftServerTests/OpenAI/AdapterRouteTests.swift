// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import Testing

@testable import EftServer

@Suite(.serialized) struct AdapterRouteTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer() }

    private func load(_ name: String, _ path: String, inPlace: Bool = false) throws -> TestResponse
    {
        try demo.post(
            "/v1/load_lora_adapter",
            [
                "lora_name": ConfigNode(name), "lora_path": ConfigNode(path),
                "load_inplace": ConfigNode(inPlace),
            ])
    }

    private func unload(_ name: String) throws -> TestResponse {
        try demo.post("/v1/unload_lora_adapter", ["lora_name": ConfigNode(name)])
    }

    private func scores(_ model: String) throws -> ConfigNode? {
        let answer = try demo.complete(["model": ConfigNode(model), "logprobs": 0])
        #expect(answer["model"].text == model)
        return answer["choices"][0]["logprobs"]["token_logprobs"]
    }

    @Test func `adapters come, act, and go`() throws {
        let base = try scores("demo")
        let loaded = try load("first", "first")
        #expect(loaded.text == "Success: LoRA adapter 'first' added successfully.")
        let first = try scores("first")
        #expect(first != base)
        #expect(try load("first", "first").status == 400)
        #expect(try load("demo", "first").status == 400)
        #expect(try load("second", "second").status == 200)
        #expect(try scores("second") != first)
        let list = try demo.server().send(TestRequest("GET", "/v1/models")).json
        #expect(
            list["data"].items.map { Optional($0)["id"].text } == [
                "demo", "alias", "first", "second",
            ])
        #expect(list["data"][2]["parent"] == "demo")
        #expect(try unload("first").status == 200)
        #expect(try unload("first").status == 404)
        let gone = try demo.post("/v1/completions", ["model": "first", "prompt": "x"])
        #expect(gone.status == 404)
        #expect(try scores("demo") == base)
    }

    @Test func `new weights under an old name never meet the old ones' keys and values`() throws {
        let folder = demo.folder.file("adapters/changing")
        try DemoAdapter.write(folder, seed: 7)
        #expect(try load("it", "changing").status == 200)
        let old = try scores("it")
        try DemoAdapter.write(folder, seed: 8)
        #expect(try load("it", "changing", inPlace: true).status == 200)
        let new = try scores("it")
        #expect(new != old)
        try DemoAdapter.write(folder, seed: 7)
        #expect(try load("again", "changing").status == 200)
        #expect(try scores("again") == old)
        // What is gone from the disk still serves.
        try AtomicFile.write(FileSystem.join(folder, "adapter_model.safetensors"), [])
        #expect(try load("it", "changing", inPlace: true).status == 400)
        #expect(try scores("it") == new)
    }

    @Test func `nothing outside of the folder of adapters is read or told of`() throws {
        var told: Set<String> = []
        for path in [
            "../outside", "link", demo.folder.file("outside"), "/etc", "first/../../outside",
            "nothing", "..", ".", "/",
        ] {
            let response = try load("bad", path)
            #expect(response.status == 404, "\(path)")
            #expect(!response.text.contains(demo.folder.path))
            told.insert(response.text)
        }
        #expect(told.count == 1)
        for path in ["", "\0", "first\0/../../outside", "first/adapter_config.json"] {
            let response = try load("bad", path)
            #expect(response.status == 400, "\(path)")
            #expect(!response.text.contains(demo.folder.path))
        }
        for name in ["", "a\nb", String(repeating: "x", count: 257)] {
            #expect(try load(name, "first").status == 400)
        }
    }

    @Test func `no more adapters are loaded than there may be`() throws {
        for place in 0..<8 { #expect(try load("a\(place)", "first").status == 200) }
        #expect(try load("a8", "first").status == 400)
        #expect(try unload("a3").status == 200)
        #expect(try load("a8", "first").status == 200)
    }
}
