// SPDX-License-Identifier: Apache-2.0
// eft bench: speeds beside the machine's limits.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftTensor

enum BenchCommand: Command {
    private static let kinds = ["limits", "kernels", "decode", "prefill", "train"]

    static let specification = CommandSpecification(
        name: "bench", abstract: "Measure speeds as ratios to limits measured in the same run.",
        discussion:
            "Weights are random, of TinyLlama-1.1B's shape. Kinds: limits, kernels, decode, prefill, train; all "
            + "of them when none is named.",
        examples: [
            Example("eft bench kernels", "matrix products in every format"),
            Example("eft bench decode prefill --json", "whole models, for machines"),
        ],
        options: [
            OptionSpecification(
                "--layers", kind: .value("N"), help: "layers of the model", defaultText: "22"),
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification("KIND", count: .any, help: "what to measure", completion: .none)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let asked = arguments.arguments("KIND")
        if let unknown = asked.first(where: { !kinds.contains($0) }) {
            throw UsageError(
                "no benchmark is called '\(unknown)'; there are \(kinds.joined(separator: ", "))")
        }
        let backend = try CommonOptions.backend(arguments, limit: .max)
        let limits = try MachineLimits(backend)
        var options = ModelBenchmark.Options()
        options.layers = try arguments.int("layers", default: 22, in: 1...1000)
        var results = limits.results
        for kind in kinds where asked.isEmpty || asked.contains(kind) {
            switch kind {
            case "kernels": results += try KernelBenchmark.run(backend, limits: limits)
            case "decode":
                results.append(try ModelBenchmark.decode(backend, limits: limits, options: options))
            case "prefill":
                results.append(
                    try ModelBenchmark.prefill(backend, limits: limits, options: options))
            case "train":
                results.append(try ModelBenchmark.train(backend, limits: limits, options: options))
            default: break
            }
        }
        if arguments.flag("json") {
            JSONOutput.print(
                [
                    "instruction_set": ConfigNode(backend.instructionSet.name),
                    "threads": ConfigNode(backend.threads),
                    "results": ConfigNode(results.map(\.node)),
                ])
            return
        }
        TerminalOutput.standardOutput.writeLine(
            "\(backend.instructionSet.name), \(backend.threads) threads, activations in "
                + backend.precision.rawValue)
        var table = TableRenderer(
            BenchmarkResult.header.enumerated().map { index, title in
                .init(title, [1, 3].contains(index) ? .right : .left)
            })
        for result in results { table.add(result.row) }
        TerminalOutput.standardOutput.write(table.render())
    }
}
