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
            OptionSpecification(
                "--num-prompts", kind: .value("N"), help: "requests", defaultText: "1000"),
            OptionSpecification(
                "--input-len", "--random-input-len", kind: .value("N"),
                help: "tokens of a prompt, behind its prefix", defaultText: "1024"),
            OptionSpecification(
                "--output-len", "--random-output-len", kind: .value("N"),
                help: "tokens of an answer", defaultText: "128"),
            OptionSpecification(
                "--range-ratio", "--random-range-ratio", kind: .value("SHARE"),
                help: "how far both lengths may differ, from 0 to below 1", defaultText: "0"),
            OptionSpecification(
                "--prefix-len", "--random-prefix-len", kind: .value("N"),
                help: "tokens with which prompts begin alike", defaultText: "0"),
            OptionSpecification(
                "--num-prefixes", kind: .value("N"), help: "such beginnings, taken in turn",
                defaultText: "1"),
            OptionSpecification(
                "--max-num-seqs", kind: .value("N"), help: "most sequences at once",
                defaultText: "64"),
            OptionSpecification(
                "--no-enable-prefix-caching", help: "share no keys and values between requests"),
        ] + BenchEngineOptions.all)

    static func run(_ arguments: ParsedArguments) throws {
        var benchmark = ThroughputBenchmark()
        benchmark.count = try arguments.int("num-prompts", default: 1000, in: 1...1_000_000)
        try RandomLengths.read(arguments, into: &benchmark.prompts, prefix: "")
        benchmark.isStopped = { InterruptFlag.isRaised }
        let decoder = try BenchEngineOptions.decoder(arguments)
        var bounds = try BenchEngineOptions.bounds(
            arguments, decoder, length: benchmark.longest,
            sequences: min(
                benchmark.count, try arguments.int("max-num-seqs", default: 64, in: 1...4096)))
        bounds.prefixCaching = !arguments.flag("no-enable-prefix-caching")
        let figures = try benchmark.run(decoder, bounds)
        try BenchOutput.show(arguments, text: figures.text, node: figures.node)
    }
}
