// SPDX-License-Identifier: Apache-2.0
// eft plan: what every stage will need, before anything is loaded.
import EftCommandLine
import EftConfig
import EftModels
import EftPlanning
import EftTensor

enum PlanCommand: Command {
    static let specification = CommandSpecification(
        name: "plan", abstract: "Show what training, merging, quantizing and running will need.",
        discussion:
            "Works on a model's folder or on a bare config.json. The figures are those by which the commands "
            + "themselves allocate. Times come from this machine's speeds, which are measured once, in some seconds, and "
            + "kept in the cache folder.",
        examples: [
            Example("eft plan ./Llama-3.1-8B --memory 24GiB", "all stages of a folder"),
            Example(
                "eft plan config.json --memory 24GiB,24GiB,24GiB,24GiB", "four devices of that size"
            ),
            Example(
                "eft plan config.json --memory 16GiB --rank 32 --sequence-len 2048", "a bare config"
            ),
        ],
        options: DeviceBudget.options + [
            OptionSpecification(
                "--rank", kind: .value("R"), help: "rank of adapters", defaultText: "16"),
            OptionSpecification(
                "--sequence-len", kind: .value("N"), help: "tokens of a training sequence",
                defaultText: "512"),
            OptionSpecification(
                "--micro-batch-size", kind: .value("N"), help: "sequences of a micro-batch",
                defaultText: "1"),
            OptionSpecification(
                "--gradient-accumulation-steps", kind: .value("N"), help: "micro-batches of a step",
                defaultText: "1"),
            OptionSpecification(
                "--context", kind: .value("N"), help: "tokens of context when running",
                defaultText: "2048, or what the model was made for"),
            OptionSpecification(
                "--batch", kind: .value("N"), help: "sequences run at once", defaultText: "1"),
            CommonOptions.kvType, CommonOptions.cacheFolder,
            OptionSpecification("--no-speed", help: "leave out tokens/s and times"),
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification(
                "MODEL", help: "a model's folder or a config.json", completion: .file)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let folder = try ModelFolder.open(
            arguments.modelArgument("MODEL"), needsWeights: false)
        let devices = try DeviceBudget(arguments)
        let backend = try CommonOptions.backend(arguments, limit: .max)
        var planner = Planner(
            description: folder.description, limits: devices.limits,
            weightLimits: devices.weightLimits,
            programBytes: ProcessMemory.program(for: .generation, threads: backend.threads),
            backend: backend)
        let speeds =
            arguments.flag("no-speed")
            ? nil : try MachineSpeeds(arguments, folder: folder.path, backend, measuring: true)
        planner.estimator = speeds?.estimator(folder.description)
        let training = try training(arguments)
        let context = try arguments.int(
            "context", default: min(2048, folder.description.contextLength), in: 1...(1 << 24))
        let report = try planner.report(
            folder: folder, training: training,
            conversions: PlannedConversions(
                folder: folder, rank: training.rank, backend: backend,
                programBytes: planner.programBytes, speeds: speeds
            ).stages(),
            generation: GenerationNeed(
                contextLength: context,
                sequences: arguments.int("batch", default: 1, in: 1...most(1 << 32, context)),
                kvType: CommonOptions.cacheType(arguments, folder.description)))
        if arguments.flag("json") {
            JSONOutput.print(report.node)
            return
        }
        let output = TerminalOutput.standardOutput
        output.writeLine(
            "\(folder.description.architecture), \(folder.description.parameterCount) parameters")
        output.write(table(report.rows))
        for rows in [report.deviceRows, report.speedRows] where !rows.isEmpty {
            output.write("\n" + table(rows))
        }
        for line in report.advice { output.writeLine(line) }
    }

    private static func training(
        _ arguments: ParsedArguments
    ) throws -> Planner.TrainingOptions {
        let sequence = try arguments.int("sequence-len", default: 512, in: 1...(1 << 24))
        return Planner.TrainingOptions(
            rank: try arguments.int("rank", default: 16, in: 1...65536), sequenceLen: sequence,
            microBatchSize: try arguments.int(
                "micro-batch-size", default: 1, in: 1...most(1 << 28, sequence)),
            microBatches: try arguments.int(
                "gradient-accumulation-steps", default: 1, in: 1...4096))
    }

    private static func table(_ rows: [[String]]) -> String {
        var table = TableRenderer(
            (rows.first ?? []).enumerated().map {
                .init($1, $0 == 0 || ["what", "bound by"].contains($1) ? .left : .right)
            })
        for row in rows.dropFirst() { table.add(row) }
        return table.render()
    }

    /// Most sequences of a length whose tokens together do not exceed a number, beyond which sizes could overflow.
    private static func most(_ tokens: Int, _ length: Int) -> Int {
        max(1, min(65536, tokens / length))
    }
}
