// SPDX-License-Identifier: Apache-2.0
import EftConfig
import Testing

@testable import EftServer

#if canImport(Glibc)
    import Glibc
#endif

struct EngineCountTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer() }

    private static let prompt = ConfigNode(Array(5..<35))

    private func value(_ name: String, _ label: String = "") throws -> Double? {
        let text = try demo.server().send(TestRequest("GET", "/metrics")).text
        let line = text.split(separator: "\n").first {
            $0.hasPrefix("vllm:\(name){") && (label.isEmpty || $0.contains(label))
        }
        return line?.split(separator: " ").last.flatMap { Double($0) }
    }

    @Test func `equal requests are counted exactly`() throws {
        for place in 0..<3 {
            let answer = try demo.complete([
                "prompt": EngineCountTests.prompt, "max_tokens": 10, "ignore_eos": true,
            ])
            // Whole pages of the prompt but its last token.
            let cached = place == 0 ? 0 : 16
            let usage = answer["usage"]
            #expect(usage["prompt_tokens_details"]["cached_tokens"].integer == cached)
        }
        demo.settle()
        #expect(try value("prompt_tokens_total") == 90)
        #expect(try value("prompt_tokens_by_source_total", "local_compute") == 58)
        #expect(try value("prompt_tokens_cached_total") == 32)
        #expect(try value("generation_tokens_total") == 30)
        #expect(try value("time_to_first_token_seconds_count") == 3)
        #expect(try value("inter_token_latency_seconds_count") == 27)
        #expect(try value("e2e_request_latency_seconds_count") == 3)
        #expect(try value("request_success_total", "\"length\"") == 3)
        #expect(try value("request_success_total", "\"abort\"") == 0)
        #expect(try value("iteration_tokens_total_sum") == 88)
        #expect(try value("num_requests_running") == 0)
        #expect(try value("num_requests_waiting") == 0)
        #expect(try value("kv_cache_usage_perc") == 0)
    }

    @Test func `clients that leave leave nothing behind`() throws {
        let server = try demo.server(.live)
        let body = """
            {"prompt":"x","max_tokens":450,"ignore_eos":true,"n":2,"temperature":1,"stream":true}
            """
        let request = TestRequest("POST", "/v1/completions", body: body)
        for count in [40, request.bytes.count - 1, request.bytes.count] {
            let socket = try server.connect()
            try socket.send(Array(request.bytes.prefix(count)))
            if count == request.bytes.count {
                #expect(try socket.readHead().status == 200)
                _ = try socket.readChunk()
            }
            socket.reset()
        }
        for _ in 0..<1000 {
            let ended = ["abort", "stop"].map {
                (try? value("request_success_total", "\"\($0)\"")) ?? 0
            }
            if ended[0] + ended[1] == 2 { break }
            usleep(1000)
        }
        demo.settle()
        #expect(try value("num_requests_running") == 0)
        #expect(try value("kv_cache_usage_perc") == 0)
        let next = try demo.complete(["max_tokens": 2])
        #expect(next["usage"]["completion_tokens"] == 2)
    }

    @Test func `many at once get what each would get alone`() throws {
        let prompts = ["Once", "What is", "Question: What does a hen say?\nAnswer:", "A pony"]
        let alone = try prompts.map { try demo.complete(["prompt": ConfigNode($0)])["choices"] }
        let together = try demo.complete([
            "prompt": ConfigNode((0..<20).map { ConfigNode(prompts[$0 % 4]) })
        ])
        for (place, choice) in together["choices"].items.enumerated() {
            #expect(Optional(choice)["text"] == alone[place % 4][0]["text"])
        }
    }
}
