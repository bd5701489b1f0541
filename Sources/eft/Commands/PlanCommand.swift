// SPDX-License-Identifier: Apache-2.0
// eft plan: what every stage will need, before anything is loaded.
import EftCommandLine
import EftConfig
import EftConversion
import EftModels
import EftPlanning
import EftTensor

enum PlanCommand: Command {
    static let specification = CommandSpecification(
        name: "plan", abstract: "Show what training, merging, quantizing and running will need.",
        discussion:
            "Works on a model's folder or on a bare config.json. The figures are those by which the commands "
            + "themselves allocate.",
        examples: [
            Example("eft plan ./Llama-3.1-8B --memory 24GiB", "all stages of a folder"),
            Example(
                "eft plan config.json --memory 16GiB --rank 32 --sequence-len 2048", "a bare config"
            ),
        ],
        options: [
            CommonOptions.memory,
            OptionSpecification(
                "--rank", kind: .value("R"), help: "rank of adapters", defaultText: "16"),
            OptionSpecification(
                "--sequence-len", kind: .value("N"), help: "tokens of a training sequence",
                defaultText: "512"),
            OptionSpecification(
                "--micro-batch-size", kind: .value("N"), help: "sequences of a micro-batch",
                defaultText: "1"),
            OptionSpecification(
                "--context", kind: .value("N"), help: "tokens of context when running",
                defaultText: "2048, or what the model was made for"),
            OptionSpecification(
                "--batch", kind: .value("N"), help: "sequences run at once", defaultText: "1"),
            CommonOptions.kvType, CommonOptions.threads, CommonOptions.precision,
            CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification(
                "MODEL", help: "a model's folder or a config.json", completion: .file)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let folder = try ModelFolder.open(
            arguments.requiredArgument("MODEL"), needsWeights: false)
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: .max)
        let planner = Planner(
            description: folder.description, limit: limit, programBytes: ProcessMemory.resident,
            backend: backend)
        let context = try arguments.int(
            "context", default: min(2048, folder.description.contextLength), in: 1...(1 << 24))
        let sequence = try arguments.int("sequence-len", default: 512, in: 1...(1 << 24))
        let report = try planner.report(
            folder: folder,
            training: Planner.TrainingOptions(
                rank: arguments.int("rank", default: 16, in: 1...65536), sequenceLen: sequence,
                microBatchSize: arguments.int(
                    "micro-batch-size", default: 1, in: 1...most(1 << 28, sequence))),
            conversions: conversions(
                folder.description, rank: arguments.int("rank", default: 16, in: 1...65536), backend
            ),
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
        var table = TableRenderer(
            report.rows[0].enumerated().map { .init($1, $0 == 0 ? .left : .right) })
        for row in report.rows.dropFirst() { table.add(row) }
        output.write(table.render())
        for line in report.advice { output.writeLine(line) }
    }

    /// Most sequences of a length whose tokens together do not exceed a number, beyond which sizes could overflow.
    private static func most(_ tokens: Int, _ length: Int) -> Int {
        max(1, min(65536, tokens / length))
    }

    /// Merging, converting and quantizing to 4 bits with 100 rows of calibration.
    private static func conversions(
        _ description: DecoderDescription, rank: Int, _ backend: CPUBackend
    ) throws -> [StagePlan] {
        let program = MemoryTable([.program: ProcessMemory.resident])
        let widest = description.linears(layer: 0).map { $0.inputs + $0.outputs }.max() ?? 0
        let bytes = description.parameterCount * 2
        var stages = [
            StagePlan(
                name: "merge to 16 bits",
                memory: program
                    + AdapterMerger.memory(
                        description, adapterBytes: widest * rank * 4, roundTripsNF4: true,
                        backend: backend), disk: bytes),
            StagePlan(
                name: "convert to 16 bits", memory: program + CheckpointConverter.memory,
                disk: bytes),
        ]
        let length = min(2048, description.contextLength)
        let options = QuantizeOptions(bits: 4, headBits: 6, length: length)
        // Layers whose inputs are no multiple of 32 have no EXL2 form, and mixtures of experts are not quantized yet.
        if let memory = try? QuantizeJob.memory(
            description, options: options, stored: .bf16, backend: backend),
            let layouts = try? DecoderLayouts(description, format: .exl2(bits: 4, headBits: 6))
        {
            // The output, the same once more in the work folder, and two generations of hidden states.
            let states = 2 * options.rows * length * description.shape.hidden * 4
            let disk = 2 * layouts.byteCount + states
            stages.append(
                StagePlan(
                    name: "quantize to 4 bits", memory: program + memory, disk: disk,
                    detail: "\(options.rows) rows of \(length) tokens",
                    remedy: "fewer or shorter rows: -r, -l"))
        }
        return stages
    }
}
