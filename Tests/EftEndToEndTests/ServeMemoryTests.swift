// SPDX-License-Identifier: Apache-2.0
// What a server holds while nobody asks, while its cache fills, and when it is left alone again.
import EftConfig
import EftTestSupport
import Testing

struct ServeMemoryTests {
    private let context = 2048
    private let sequences = 4

    /// A server over quantized weights, whose cache is larger than they are.
    private func server(_ models: SmallModels, _ options: [String]) throws -> ServedProcess {
        try ServedProcess(
            [
                models.folder.file("exl2"), "--max-model-len", "\(context)", "--max-num-seqs",
                "\(sequences)", "--kv-cache-dtype", "f32", "--threads", "2",
            ] + options)
    }

    /// Reads a prompt of its own for each sequence, to the end of the context.
    private func fill(_ server: ServedProcess) async throws {
        for sequence in 0..<sequences {
            let prompt = (0..<context - 1).map { ConfigNode(($0 * 7 + sequence * 13) % 250 + 3) }
            let answer = try await server.post(
                "v1/completions",
                [
                    "prompt": ConfigNode(prompt), "max_tokens": 1, "temperature": 0,
                    "ignore_eos": true,
                ])
            #expect(
                try answer.required("usage").required("prompt_tokens").int() == context - 1)
        }
    }

    @Test func `the cache takes memory as it fills, up to the plan`() async throws {
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        let server = try server(models, [])
        let planned = try await server.planned()
        let cache = try #require(planned["KV cache"])
        let all = planned.values.reduce(0, +)
        let start = try await server.resident()
        #expect(start <= all - cache + all / 50, "\(start) of \(planned)")
        _ = try await server.post("v1/completions", ["prompt": "One day", "max_tokens": 2])
        let used = try await server.resident()
        // A group of pages, and large pages at its ends.
        #expect(used - start < 16 << 20, "\(used - start) more for a small request")
        try await fill(server)
        let full = try await server.resident()
        #expect(full <= all + all / 50, "\(full) of \(planned)")
        #expect(full - start >= cache / 100 * 95, "\(full - start) of \(cache) filled")
        let (status, text) = server.stop()
        #expect(status == 0 && text.contains("peak memory"))
    }

    @Test func `what is left alone is given back`() async throws {
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        let server = try server(models, ["--kv-cache-idle-time", "1", "--quiet"])
        let planned = try await server.planned()
        let cache = try #require(planned["KV cache"])
        // What computing takes stays.
        let kept = cache / 10 + (planned["activations"] ?? 0) + (planned["workspace"] ?? 0)
        let start = try await server.resident()
        try await fill(server)
        var now = try await server.resident()
        for _ in 0..<600 where now - start > kept {
            try await Task.sleep(for: .milliseconds(100))
            now = try await server.resident()
        }
        #expect(now - start <= kept, "\(now - start) of \(cache) left")
        // And taken again.
        try await fill(server)
        let (status, text) = server.stop()
        #expect(status == 0 && !text.contains("POST"))
    }

    @Test func `a server says its default budget, and a line for each request`() async throws {
        let server = try ServedProcess(["Examples/demo/model", "--enforce-eager"])
        #expect(
            server.startLines.contains { $0.hasPrefix("note: no effect here: --enforce-eager") })
        #expect(server.startLines.contains { $0.hasPrefix("KV cache size: ") })
        #expect(server.startLines.contains { $0.hasPrefix("Maximum concurrency for ") })
        #expect(server.startLines.contains { $0.hasPrefix("Memory budget: ") })
        _ = try await server.post(
            "v1/completions", ["prompt": "Question", "max_tokens": 3, "ignore_eos": true])
        let (status, text) = server.stop()
        #expect(status == 0)
        #expect(text.contains("POST /v1/completions 200 in "))
        #expect(text.contains(" tokens in, 3 out, first after "))
    }
}
