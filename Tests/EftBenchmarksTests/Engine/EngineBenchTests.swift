// SPDX-License-Identifier: Apache-2.0
// Benchmarks of the engine count what it does.
import EftBenchmarks
import EftConfig
import EftGeneration
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct EngineBenchTests {
    private func decoder() throws -> Decoder {
        let folder = try ModelFolder.open(Fixtures.packageRoot + "/Examples/demo/model")
        return try DecoderLoader(folder: folder).load(backend: CPUBackend(threads: 2))
    }

    private func keys(_ node: ConfigNode) -> [String] {
        if case .object(let object) = node.value { object.keys } else { [] }
    }

    @Test func `throughput counts every token`() throws {
        var benchmark = ThroughputBenchmark()
        benchmark.count = 9
        benchmark.prompts.inputLength = 30
        benchmark.prompts.outputLength = 7
        var options = EngineBenchOptions(maxModelLength: benchmark.longest)
        #expect(benchmark.longest == 37)
        options.maxSequences = 4
        options.maxBatchedTokens = 24
        let figures = try benchmark.run(decoder(), options)
        let engine = figures.engine
        #expect(engine.promptTokens == 270 && engine.outputTokens == 63 && figures.tokens == 333)
        #expect(engine.timesToFirstToken.count == 9 && engine.cachedTokens == 0)
        #expect(engine.steps >= 7 && engine.preemptions == 0)
        #expect(engine.computing > 0 && engine.sampling > 0)
        #expect(engine.computing + engine.sampling <= engine.seconds)
        #expect(engine.overhead >= engine.samplingShare && engine.overhead < 1)
        #expect(engine.slotUse > 0.3 && engine.slotUse <= 1)
        let lines = figures.text.split(separator: "\n")
        #expect(lines[0].hasPrefix("Throughput: ") && lines[0].hasSuffix(" output tokens/s"))
        #expect(lines[1] == "Total num prompt tokens:  270")
        #expect(lines[2] == "Total num output tokens:  63")
        #expect(
            keys(figures.node).prefix(5) == [
                "elapsed_time", "num_requests", "total_num_tokens", "requests_per_second",
                "tokens_per_second",
            ])
    }

    @Test func `slots are full when prompts fill their pages`() throws {
        let bench = try EngineBench(decoder(), EngineBenchOptions(maxModelLength: 33))
        // Pages of 16: a prompt of two of them, and an answer of one token, which needs no slot.
        let prompt = RandomPrompt(tokens: Array(1...32), outputLength: 1)
        #expect(try bench.run([prompt, prompt]).slotUse == 1)
        let short = RandomPrompt(tokens: Array(1...4), outputLength: 1)
        #expect(try bench.run([short]).slotUse == 0.25)
    }

    @Test func `slots of shared pages count once`() throws {
        var options = EngineBenchOptions(maxModelLength: 64)
        options.prefixCaching = true
        let bench = try EngineBench(decoder(), options)
        // The first one fills two pages with its prompt; the others share them and have a page each of their own.
        let prompt = RandomPrompt(tokens: Array(1...33), outputLength: 2)
        _ = try bench.run([prompt])
        let figures = try bench.run(Array(repeating: prompt, count: 4))
        #expect(figures.cachedTokens == 128)
        // Steps of 32 + 4 x 1 and 32 + 4 x 2 tokens in 6 pages.
        #expect(abs(figures.slotUse - (36.0 + 40) / 2 / 96) < 1e-12)
    }

    @Test func `few pages make the engine take them back`() throws {
        var options = EngineBenchOptions(maxModelLength: 64)
        options.maxSequences = 4
        options.pages = 5
        let bench = try EngineBench(decoder(), options)
        let prompts = (0..<4).map {
            RandomPrompt(tokens: [Int32($0), 5, 6, 7, 8, 9, 10, 11, 12, 13], outputLength: 40)
        }
        let figures = try bench.run(prompts)
        #expect(figures.preemptions > 0 && figures.outputTokens == 160)
    }

    @Test func `latency has a figure for each counted batch`() throws {
        var benchmark = LatencyBenchmark()
        (benchmark.inputLength, benchmark.outputLength, benchmark.batch) = (8, 3, 2)
        (benchmark.warmups, benchmark.iterations) = (1, 4)
        var told: [Int] = []
        benchmark.progress = { done, _ in told.append(done) }
        let figures = try benchmark.run(decoder(), EngineBenchOptions(maxModelLength: 11))
        #expect(figures.seconds.count == 4 && told == [0, 1, 2, 3, 4])
        #expect(keys(figures.node) == ["avg_latency", "latencies", "percentiles"])
    }

    @Test func `latencies are written as vLLM writes them`() {
        let figures = LatencyFigures(seconds: [0.5, 1.5, 1.0])
        #expect(
            figures.text == """
                Avg latency: 1.0 seconds
                10% percentile latency: 0.6 seconds
                25% percentile latency: 0.75 seconds
                50% percentile latency: 1.0 seconds
                75% percentile latency: 1.25 seconds
                90% percentile latency: 1.4 seconds
                99% percentile latency: 1.49 seconds
                """)
        guard case .object(let object) = figures.node.value else { return }
        #expect(object["avg_latency"] == 1.0 && object["latencies"] == [0.5, 1.5, 1.0])
        #expect(keys(object["percentiles"] ?? .null) == ["10", "25", "50", "75", "90", "99"])
    }

    @Test func `a known beginning is not read again`() throws {
        var benchmark = PrefixBenchmark()
        benchmark.length = 200
        benchmark.iterations = 2
        let figures = try benchmark.run(
            decoder(), EngineBenchOptions(maxModelLength: benchmark.longest))
        // 196 tokens are shared, 12 pages of 16 are full.
        #expect(figures.cachedTokens == 192)
        #expect(figures.cold.count == 2 && figures.warm.count == 2 && figures.ratio > 0)
        #expect(keys(figures.node).contains("ratio"))
    }

    @Test func `a run that is stopped has no figures`() throws {
        let bench = try EngineBench(decoder(), EngineBenchOptions(maxModelLength: 64))
        var asked = 0
        bench.isStopped = {
            asked += 1
            return asked > 3
        }
        #expect(throws: BenchmarkStopped.self) {
            try bench.run([RandomPrompt(tokens: [1, 2], outputLength: 30)])
        }
        #expect(throws: GenerationError.self) {
            try bench.run([RandomPrompt(tokens: [1], outputLength: 100)])
        }
    }
}
