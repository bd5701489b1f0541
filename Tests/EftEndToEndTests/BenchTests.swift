// SPDX-License-Identifier: Apache-2.0
// Benchmarks of engine and server as a user calls them.
import EftConfig
import EftTestSupport
import Testing

@Suite struct BenchTests {
    private let model = ["-m", "Examples/demo/model", "--threads", "2"]

    private func figures(_ program: Program) throws -> ConfigCursor {
        #expect(program.status == 0, "\(program.errors)")
        return ConfigCursor(try JSONParser.parse(program.output))
    }

    @Test func `throughput counts tokens, as text and for machines`() throws {
        let lengths = ["--num-prompts", "5", "--input-len", "12", "--output-len", "4"]
        let text = try Program(["bench", "throughput"] + model + lengths)
        #expect(text.status == 0, "\(text.errors)")
        #expect(text.output.hasPrefix("Throughput: "))
        #expect(text.output.contains("\nTotal num prompt tokens:  60\n"))
        #expect(text.output.contains("\nTotal num output tokens:  20\n"))
        let json = try figures(Program(["bench", "throughput"] + model + lengths + ["--json"]))
        #expect(try json.required("total_num_tokens").int() == 80)
        #expect(try json.required("num_requests").int() == 5)
        #expect((0...1).contains(try json.required("overhead").double()))
        #expect((0...1).contains(try json.required("kv_slot_use").double()))
    }

    @Test func `latency has all percentiles, also in a file`() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("latency.json")
        let program = try Program(
            ["bench", "latency"] + model + [
                "--input-len", "4", "--output-len", "2", "--batch-size", "2", "--num-iters", "3",
                "--num-iters-warmup", "0", "--output-json", file,
            ])
        #expect(program.status == 0, "\(program.errors)")
        let lines = program.output.split(separator: "\n")
        #expect(lines.count == 7 && lines[0].hasPrefix("Avg latency: "))
        #expect(lines[6].hasPrefix("99% percentile latency: "))
        let json = ConfigCursor(try JSONParser.parse(ConfigFile.contents(file)))
        #expect(try json.required("latencies").elements().count == 3)
    }

    @Test func `a known prefix is found`() throws {
        let json = try figures(
            Program(["bench", "prefix"] + model + ["--input-len", "100", "--json"]))
        #expect(try json.required("cached_tokens").int() == 96)
        let long = try Program(["bench", "prefix"] + model)
        #expect(long.status == 2 && long.errors.contains("512"))
    }

    @Test func `shapes take part, and what excludes each other is refused`() throws {
        let json = try figures(
            Program([
                "bench", "throughput", "--layers", "1", "--num-prompts", "2", "--input-len", "4",
                "--output-len", "2", "--threads", "2", "--json",
            ]))
        #expect(try json.required("num_output_tokens").int() == 4)
        let both = try Program(["bench", "throughput"] + model + ["--layers", "1"])
        #expect(both.status == 2 && both.errors.contains("--shape"))
        let pages = try Program(
            ["bench", "throughput"] + model + [
                "--input-len", "100", "--num-gpu-blocks-override", "2",
            ])
        #expect(pages.status == 2 && pages.errors.contains("--num-gpu-blocks-override"))
    }

    @Test(
        arguments: [
            (["--base-url", "https://host"], 1, "http://"),
            (["--base-url", "http://127.0.0.1:1"], 1, "connection"),
            (["--base-url", "http://127.0.0.1:1", "--model", "m"], 2, "--vocab-size"),
            (["--goodput", "itl:3"], 2, "--goodput"),
            (["--percentile-metrics", "ttft,x"], 2, "--percentile-metrics"),
            (["--metric-percentiles", "101"], 2, "--metric-percentiles"),
            (["--request-rate", "0"], 2, "--request-rate"),
            (["--endpoint", "v1"], 2, "--endpoint"),
            (["--api-key", "a b"], 2, "--api-key"),
            (["--layers", "2"], 2, "unknown option"),
        ] as [([String], Int32, String)])
    func `servers and options that cannot be`(
        _ options: [String], _ status: Int32, _ word: String
    ) throws {
        let program = try Program(["bench", "serve", "--num-prompts", "1"] + options)
        #expect(program.status == status && program.errors.contains(word), "\(program.errors)")
    }

    @Test func `a server that refuses every request is status 1, with the frame`() throws {
        let program = try Program([
            "bench", "serve", "--base-url", "http://127.0.0.1:1", "--model", "m", "--vocab-size",
            "10", "--num-prompts", "3",
        ])
        #expect(program.status == 1 && program.errors.contains("3 of 3 requests failed"))
        #expect(program.output.hasPrefix("============ Serving Benchmark Result ============\n"))
        #expect(program.output.contains("\nFailed requests:                         3         \n"))
    }
}
