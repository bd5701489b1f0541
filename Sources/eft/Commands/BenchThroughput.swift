// SPDX-License-Identifier: Apache-2.0
// eft bench throughput: what the engine serves when all requests are there at once.
import EftBenchmarks
import EftCommandLine

enum BenchThroughput: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool {
        arguments.isGiven("output-json")
    }

    static let specification = CommandSpecification(
        name: "bench throughput",
        abstract: "Time many requests at once, as 'vllm bench throughput' does.",
        discussion:
            "Without a server; prompts are random tokens. Beside vLLM's figures stand the share of the time in which the "
            + "decoder does not compute, and how full the pages of keys and values are.",
        examples: [
            Example(
                "eft bench throughput --num-prompts 32 --input-len 128 --output-len 128",
                "TinyLlama's shape in 4 bits"),
            Example(
                "eft bench throughput -m ./model --num-prompts 100 --random-range-ratio 0.9",
                "lengths that differ widely"),
        ],
        options: [
            BenchOptions.prompts,
            EngineOptions.maxSequences,
            EngineOptions.prefixCaching,
        ] + RandomLengths.options + BenchEngineOptions.all)

    static func run(_ arguments: ParsedArguments) throws {
        var benchmark = ThroughputBenchmark()
        benchmark.count = try arguments.int("num-prompts", default: 1000, in: 1...1_000_000)
        try RandomLengths.read(arguments, into: &benchmark.prompts)
        benchmark.isStopped = { InterruptFlag.isRaised }
        let progress = CommonOptions.progress(arguments)
        let decoder = try BenchEngineOptions.decoder(arguments)
        var bounds = try BenchEngineOptions.bounds(
            arguments, decoder, length: benchmark.longest,
            sequences: min(
                benchmark.count, try arguments.int("max-num-seqs", default: 64, in: 1...4096)))
        bounds.prefixCaching = arguments.flag("enable-prefix-caching", default: true)
        let figures = try progress.during("serving \(benchmark.count) requests") {
            try benchmark.run(decoder, bounds)
        }
        try BenchOutput.show(arguments, text: figures.text, node: figures.node)
    }
}
