// SPDX-License-Identifier: Apache-2.0
// eft bench latency: how long one batch takes.
import EftBenchmarks
import EftCommandLine

enum BenchLatency: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool {
        arguments.isGiven("output-json")
    }

    static let specification = CommandSpecification(
        name: "bench latency", abstract: "Time one batch, as 'vllm bench latency' does.",
        discussion: "Without a server; prompts are random tokens and share nothing.",
        examples: [
            Example("eft bench latency -m ./model", "8 requests of 32 tokens, answered with 128"),
            Example(
                "eft bench latency --batch-size 1 --num-iters 5 --num-iters-warmup 1",
                "one request, of TinyLlama's shape"),
        ],
        options: [
            BenchOptions.inputLength(default: 32),
            BenchOptions.outputLength(default: 128),
            OptionSpecification(
                "--batch-size", kind: .value("N"), help: "requests of a batch", defaultText: "8"),
            OptionSpecification(
                "--num-iters-warmup", kind: .value("N"), help: "batches that are not counted",
                defaultText: "10"),
            BenchOptions.iterations(of: "batches", default: 30),
        ] + BenchEngineOptions.all)

    static func run(_ arguments: ParsedArguments) throws {
        var benchmark = LatencyBenchmark()
        benchmark.inputLength = try arguments.int("input-len", default: 32, in: 1...(1 << 24))
        benchmark.outputLength = try arguments.int("output-len", default: 128, in: 1...(1 << 24))
        benchmark.batch = try arguments.int("batch-size", default: 8, in: 1...4096)
        benchmark.warmups = try arguments.int("num-iters-warmup", default: 10, in: 0...1_000_000)
        benchmark.iterations = try arguments.int("num-iters", default: 30, in: 1...1_000_000)
        benchmark.seed = UInt64(try arguments.int("seed", default: 0, in: 0...Int.max))
        benchmark.isStopped = { InterruptFlag.isRaised }
        let progress = CommonOptions.progress(arguments)
        benchmark.progress = {
            progress.update(
                "timing", share: Double($0) / Double(max($1, 1)), "batch \($0 + 1) of \($1)")
        }
        let decoder = try BenchEngineOptions.decoder(arguments)
        let bounds = try BenchEngineOptions.bounds(
            arguments, decoder, length: benchmark.inputLength + benchmark.outputLength,
            sequences: benchmark.batch)
        let figures = try benchmark.run(decoder, bounds)
        progress.finish()
        try BenchOutput.show(arguments, text: figures.text, node: figures.node)
    }
}
