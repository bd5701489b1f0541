// SPDX-License-Identifier: Apache-2.0
// eft bench prefix: the first token of a prompt whose beginning is known.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftFormats

enum BenchPrefix: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool {
        arguments.isGiven("output-json")
    }

    static let specification = CommandSpecification(
        name: "bench prefix",
        abstract: "Time the first token of a prompt, new and with its beginning in the cache.",
        examples: [
            Example("eft bench prefix -m ./model", "2000 tokens, all but the last 4 shared")
        ],
        options: [
            BenchOptions.inputLength(default: 2000),
            OptionSpecification(
                "--new-tokens", kind: .value("N"), help: "tokens at its end that are new",
                defaultText: "4"),
            BenchOptions.iterations(of: "prompts", default: 3),
        ] + BenchEngineOptions.all)

    static func run(_ arguments: ParsedArguments) throws {
        var benchmark = PrefixBenchmark()
        benchmark.length = try arguments.int("input-len", default: 2000, in: 2...(1 << 24))
        benchmark.newTokens = try arguments.int("new-tokens", default: 4, in: 1...(1 << 24))
        benchmark.iterations = try arguments.int("num-iters", default: 3, in: 1...1_000_000)
        benchmark.seed = UInt64(try arguments.int("seed", default: 0, in: 0...Int.max))
        benchmark.isStopped = { InterruptFlag.isRaised }
        let progress = CommonOptions.progress(arguments)
        let decoder = try BenchEngineOptions.decoder(arguments)
        let bounds = try BenchEngineOptions.bounds(
            arguments, decoder, length: benchmark.longest, sequences: 1)
        let figures = try progress.during("reading prompts of \(benchmark.length) tokens") {
            try benchmark.run(decoder, bounds)
        }
        try BenchOutput.show(arguments, text: figures.text, node: figures.node)
    }
}

/// Figures on standard output, and in a file where one is named.
enum BenchOutput {
    static func show(_ arguments: ParsedArguments, text: String, node: ConfigNode) throws {
        if arguments.flag("json") {
            JSONOutput.print(node)
        } else {
            TerminalOutput.standardOutput.writeLine(text)
        }
        guard let path = arguments.string("output-json") else { return }
        try AtomicFile.write(path, JSONWriter.text(node, layout: .indented(4)) + "\n")
    }
}
