// SPDX-License-Identifier: Apache-2.0
// eft bench: speeds beside the machine's limits.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftPlanning
import EftTensor

enum BenchCommand: Command {
    static let layerRange = 1...1000
    /// Verbs below this one.
    static let subcommands: [any Command.Type] = [
        BenchServe.self, BenchLatency.self, BenchThroughput.self, BenchPrefix.self,
    ]
    private static let kinds = ["limits", "kernels", "sampling", "decode", "prefill", "train"]

    static let specification = CommandSpecification(
        name: "bench", abstract: "Measure speeds as ratios to limits measured in the same run.",
        discussion:
            "Weights are random, of TinyLlama-1.1B's shape. Kinds: limits, kernels, sampling, decode, prefill, train; all "
            + "of them when none is named. 'eft bench disk' measures the disk of --output or of the working folder. 'eft bench shape NAME' writes a model folder of a known shape with "
            + "random weights, and goes on after the last finished weight file when it was stopped: "
            + "\(NamedShape.all.map(\.name).joined(separator: ", ")).",
        examples: [
            Example(
                "eft bench shape llama-3-70b --format exl2 --bits 2.4 -o ./70b-2.4bpw",
                "a folder of that shape, 21 GB"),
            Example("eft bench kernels", "matrix products in every format"),
            Example("eft bench decode prefill --json", "whole models, for machines"),
            Example("eft bench serve --help", "load on a server, and what is below"),
        ],
        options: [
            OptionSpecification(
                "--layers", kind: .value("N"), help: "layers of the model",
                defaultText: "22, or the shape's"),
            OptionSpecification(
                "--format", kind: .value("WORD"), help: "shape: form of the linear layers",
                defaultText: "exl2", choices: ["exl2", "nf4", "bf16"]),
            OptionSpecification(
                "--bits", "-b", kind: .value("B"), help: "shape: bits a weight of EXL2",
                defaultText: "4"),
            OptionSpecification(
                "--output", "-o", kind: .value("DIR"),
                help: "shape: the folder to write; disk: the folder whose disk is measured",
                completion: .folder),
            OptionSpecification(
                "--max-shard-size", kind: .value("SIZE"),
                help: "shape: the most bytes of a weight file", defaultText: "5GB"),
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification("KIND", count: .any, help: "what to measure", completion: .none)
        ], subcommands: subcommands.map { $0.specification })

    static func run(_ arguments: ParsedArguments) throws {
        let asked = arguments.arguments("KIND")
        if asked.first == "shape" {
            try BenchShape.run(arguments, Array(asked.dropFirst()))
            return
        }
        if asked == ["disk"] {
            try BenchDisk.run(arguments)
            return
        }
        if let unknown = asked.first(where: { !kinds.contains($0) }) {
            throw UsageError(
                "no benchmark is called '\(unknown)'; there are \(kinds.joined(separator: ", "))")
        }
        let backend = try CommonOptions.backend(arguments, limit: .max)
        var limits = try MachineLimits(backend)
        var options = ModelBenchmark.Options()
        options.layers = try arguments.int("layers", default: 22, in: layerRange)
        var results: [BenchmarkResult] = []
        for kind in kinds where asked.isEmpty || asked.contains(kind) {
            try limits.refresh(backend)
            switch kind {
            case "kernels": results += try KernelBenchmark.run(backend, limits: limits)
            case "sampling": results += try SamplingBenchmark.run()
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
        results = limits.results + results
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
        TerminalOutput.standardOutput.write(table)
    }
}
