// SPDX-License-Identifier: Apache-2.0
// eft bench: speeds beside the machine's limits.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftPlanning
import EftTensor

enum BenchCommand: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool {
        arguments.arguments("KIND").first == "shape"
    }

    static let layerRange = 1...1000
    /// Verbs below this one.
    static let subcommands: [any Command.Type] = [
        BenchServe.self, BenchLatency.self, BenchThroughput.self, BenchPrefix.self,
    ]
    private static let kinds = [
        "limits", "kernels", "sampling", "quantize", "decode", "prefill", "train",
    ]

    static let specification = CommandSpecification(
        name: "bench", abstract: "Measure speeds as ratios to limits measured in the same run.",
        discussion:
            "Weights are random, of TinyLlama-1.1B's shape, or for decode, prefill and train of the one that --shape names, with as many layers as fit the free memory. Kinds: limits, kernels, sampling, quantize, decode, "
            + "prefill, train; all of them when none is named. 'eft bench disk' measures the disk of --output or of the working folder. 'eft bench shape NAME' writes a model folder of a known shape with "
            + "random weights, and goes on after the last finished weight file when it was stopped: "
            + "\(NamedShape.all.map(\.name).joined(separator: ", ")).",
        examples: [
            Example(
                "eft bench shape llama-3-70b --format exl2 --bits 2.4 -o ./70b-2.4bpw",
                "a folder of that shape, 21 GB"),
            Example("eft bench kernels", "matrix products in every format"),
            Example("eft bench decode prefill --json", "whole models, for machines"),
            Example("eft bench decode --shape gpt-oss-20b", "another model's shape"),
            Example("eft bench serve --help", "load on a server, and what is below"),
        ],
        options: [
            BenchOptions.shape,
            BenchOptions.layers,
            OptionSpecification(
                "--format", kind: .value("WORD"), help: "shape: form of the linear layers",
                defaultText: "exl2", choices: ["exl2", "nf4", "bf16"]),
            BenchOptions.bits,
            OptionSpecification(
                "--output", "-o", kind: .value("DIR"),
                help: "shape: the folder to write; disk: the folder whose disk is measured",
                completion: .folder),
            ConversionOptions.shard,
            CommonOptions.threads,
            CommonOptions.precision(
                default: "what each kind's verb takes: \(ActivationPrecision.inference.rawValue), "
                    + "and \(ActivationPrecision.training.rawValue) in training"),
            CommonOptions.json,
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
        let devices = try BenchDevices(arguments)
        var limits = try MachineLimits(devices.generating)
        var options = ModelBenchmark.Options()
        options.shape = BenchOptions.shape(arguments)
        options.layers = try arguments.int("layers", in: layerRange)
        let progress = CommonOptions.progress(arguments)
        var results: [BenchmarkResult] = []
        for kind in kinds where asked.isEmpty || asked.contains(kind) {
            results += try progress.during("measuring \(kind)") {
                try limits.refresh(devices.generating)
                return try measure(kind, devices, limits, options)
            }
        }
        show(limits.results + results, devices, isJSON: arguments.flag("json"))
    }

    private static func measure(
        _ kind: String, _ devices: BenchDevices, _ limits: MachineLimits,
        _ options: ModelBenchmark.Options
    ) throws -> [BenchmarkResult] {
        let (generating, training) = (devices.generating, devices.training)
        return switch kind {
        case "kernels":
            try KernelBenchmark.run(generating: generating, training: training, limits: limits)
                + AttentionBenchmark.run(generating, limits)
        case "sampling": try SamplingBenchmark.run()
        case "quantize": try QuantizeBenchmark(generating, limits: limits).run()
        case "decode": [try ModelBenchmark.decode(generating, limits: limits, options: options)]
        case "prefill": [try ModelBenchmark.prefill(generating, limits: limits, options: options)]
        case "train": [try ModelBenchmark.train(training, limits: limits, options: options)]
        default: []
        }
    }

    private static func show(_ results: [BenchmarkResult], _ devices: BenchDevices, isJSON: Bool) {
        let backend = devices.generating
        guard !isJSON else {
            JSONOutput.print(
                [
                    "instruction_set": ConfigNode(backend.instructionSet.name),
                    "threads": ConfigNode(backend.threads),
                    "results": ConfigNode(results.map(\.node)),
                ])
            return
        }
        let output = TerminalOutput.standardOutput
        output.writeLine("\(backend.instructionSet.name), \(backend.threads) threads")
        var table = TableRenderer(
            BenchmarkResult.header.enumerated().map { index, title in
                .init(title, [1, 3].contains(index) ? .right : .left)
            })
        for result in results { table.add(result.row) }
        output.write(table)
    }
}

/// Devices that compute as the verbs do, or as --precision says.
private struct BenchDevices {
    let generating: CPUBackend
    let training: CPUBackend

    init(_ arguments: ParsedArguments) throws {
        let chosen = arguments.string("precision").flatMap(ActivationPrecision.init)
        func device(_ usual: ActivationPrecision) throws -> CPUBackend {
            try CommonOptions.backend(arguments, limit: .max, precision: chosen ?? usual)
        }
        (generating, training) = (try device(.inference), try device(.training))
    }
}
