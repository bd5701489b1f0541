// SPDX-License-Identifier: Apache-2.0
// eft plan: what to do with a model on this machine, before anything is loaded.
import EftCommandLine
import EftConfig
import EftHub
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers
import EftTraining

enum PlanCommand: Command {
    static let specification = CommandSpecification(
        name: "plan",
        abstract: "Say how to run, fine-tune and serve a model here: memory, speed, commands.",
        discussion:
            "Works on a model's folder, on its name on the hub (of which only the configuration and the tables of the "
            + "weights are fetched), on a bare config.json, or on a training configuration (.yml), whose data "
            + "is then read as training reads it. The figures are those by which the commands themselves allocate. "
            + "Times come from this machine's speeds, which are measured once, in some seconds, and kept in the "
            + "cache folder.",
        examples: [
            Example("eft plan ./Llama-3.1-8B --memory 8GiB", "what to do within 8 GiB"),
            Example("eft plan Qwen/Qwen3-32B --memory 24GiB", "before it is fetched"),
            Example("eft plan config.json --memory 4x24GiB", "four devices, from a bare config"),
            Example("eft plan qlora.yml --memory 16GiB", "the time of a whole training"),
            Example(
                "eft plan ./Llama-3.1-8B --dataset rows.jsonl --epochs 3",
                "the same for data without a configuration"),
        ],
        options: DeviceBudget.options + trainingOptions + [
            OptionSpecification(
                "--context", kind: .value("N"), help: "tokens of context when running",
                defaultText: "2048, or what the model was made for"),
            OptionSpecification(
                "--batch", kind: .value("N"), help: "sequences run at once", defaultText: "1"),
            CommonOptions.kvType, CommonOptions.cacheFolder,
            OptionSpecification("--no-speed", help: "leave out tokens/s and times"),
            OptionSpecification(
                "--details", help: "all that is known of each stage, and of each device"),
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification(
                "MODEL",
                help: "a model's folder or name, a config.json, or a training configuration (.yml)",
                completion: .file)
        ])

    private static let trainingOptions = [
        OptionSpecification(
            "--dataset", kind: .value("FILE"),
            help: "JSON or JSONL rows to train on: tells the time of the whole training",
            completion: .file),
        OptionSpecification(
            "--dataset-type", kind: .value("TYPE"),
            help: "the form of the rows, as 'type' of Axolotl's datasets names it",
            defaultText: "what the fields of the first row say"),
        OptionSpecification(
            "--epochs", kind: .value("N"), help: "times that the data is gone through",
            defaultText: "1"),
        OptionSpecification("--sample-packing", help: "short examples share a row"),
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
    ]

    static func run(_ arguments: ParsedArguments) throws {
        let request = try PlanRequest(arguments)
        let plan = try FullPlan(request, arguments)
        if arguments.flag("json") {
            JSONOutput.print(plan.node)
            return
        }
        let output = TerminalOutput.standardOutput
        let text = PlanText(width: output.width)
        for notice in plan.training?.outline.notices ?? [] {
            TerminalOutput.standardError.writeLine("note: \(notice)")
        }
        output.write(text.conclusion(plan.conclusion))
        output.write("\n" + text.table(plan.report))
        if arguments.flag("details") {
            output.write("\n" + text.details(plan.report))
        } else {
            output.write(
                "\n"
                    + text.wrapped(
                        "--details shows what each stage holds, and what would make it fit."))
        }
    }
}

/// What is planned: a model, and perhaps data to train it on.
struct PlanRequest {
    /// The model.
    let folder: ModelFolder
    /// The model as commands name it.
    let model: String
    /// What training is planned for in general.
    let training: Planner.TrainingOptions
    /// The training run whose data is read, the words of its command and what is to be written for it; nil without one.
    let run: (config: AxolotlConfig, name: String, file: PlanConclusion.Item.File?)?
    /// Holds the model's tables while it is planned, when its weights are not on this machine.
    private let skeleton: HubSkeleton?
    /// A folder on the disk on which the model is, or would be.
    var place: String {
        skeleton == nil ? folder.path : HubSettings.ofUser.cacheFolder ?? folder.path
    }

    /// Reads the arguments.
    init(_ arguments: ParsedArguments) throws {
        let subject = try arguments.requiredArgument("MODEL")
        var options = try PlanRequest.training(arguments)
        let hub = arguments.source as? HubModels
        if [".yml", ".yaml"].contains(where: subject.lowercased().hasSuffix) {
            guard !arguments.isGiven("dataset") else {
                throw arguments.error(
                    "dataset", "goes with a model; a training configuration names its data itself")
            }
            var config = try AxolotlConfig.read(
                subject, overrides: PlanRequest.overrides(arguments))
            options.sequenceLen = config.training.sequenceLen
            options.microBatchSize = config.training.microBatchSize
            options.microBatches = config.training.gradientAccumulationSteps
            if let adapter = config.adapter { options.rank = adapter.rank }
            model = config.model.baseModel
            skeleton = try hub?.skeleton(model)
            try AxolotlOptions.fetch(&config, arguments, base: skeleton?.path)
            run = (config, subject, nil)
            folder = try ModelFolder.open(
                config.model.baseModel, needsWeights: false, scores: true)
        } else {
            model = PlanRequest.folder(of: subject)
            skeleton = try hub?.skeleton(subject)
            let path =
                if let skeleton { skeleton.path } else { try arguments.modelArgument("MODEL") }
            folder = try ModelFolder.open(path, needsWeights: false)
            var planned = try PlanRequest.dataset(arguments, model: model, options)
            planned?.config.model.baseModel = folder.path
            run = planned
        }
        training = options
    }

    /// The folder of a bare `config.json`, or the folder itself.
    private static func folder(of path: String) -> String {
        guard path.hasSuffix(".json") else { return path }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return parts.isEmpty ? "." : parts.joined(separator: "/")
    }

    private static func dataset(
        _ arguments: ParsedArguments, model: String, _ options: Planner.TrainingOptions
    ) throws -> (config: AxolotlConfig, name: String, file: PlanConclusion.Item.File?)? {
        guard let file = arguments.string("dataset") else {
            for name in ["dataset-type", "epochs", "sample-packing"] where arguments.isGiven(name) {
                throw arguments.error(name, "goes with --dataset or a training configuration")
            }
            return nil
        }
        let planned = PlannedDataset(
            model: model, file: file,
            type: try arguments.string("dataset-type") ?? PlannedDataset.type(of: file),
            epochs: try arguments.double("epochs", default: 1, in: 0.001...1e6),
            samplePacking: arguments.flag("sample-packing"), rank: options.rank,
            sequenceLen: options.sequenceLen, microBatchSize: options.microBatchSize,
            gradientAccumulationSteps: options.microBatches)
        let name = "qlora.yml"
        return (
            try planned.config(), name,
            PlanConclusion.Item.File(name: name, contents: planned.yaml)
        )
    }

    /// Options that stand for keys of a training configuration.
    private static func overrides(_ arguments: ParsedArguments) throws -> [ConfigOverride] {
        let keys = [
            ("rank", "lora_r"), ("sequence-len", "sequence_len"),
            ("micro-batch-size", "micro_batch_size"),
            ("gradient-accumulation-steps", "gradient_accumulation_steps"),
            ("epochs", "num_epochs"),
        ]
        var overrides = keys.compactMap { option, key in
            arguments.string(option).map { ConfigOverride(key, $0) }
        }
        if arguments.flag("sample-packing") {
            overrides.append(ConfigOverride("sample_packing", "true"))
        }
        return overrides
    }

    private static func training(_ arguments: ParsedArguments) throws -> Planner.TrainingOptions {
        let sequence = try arguments.int("sequence-len", default: 512, in: 1...(1 << 24))
        return Planner.TrainingOptions(
            rank: try arguments.int("rank", default: 16, in: 1...65536), sequenceLen: sequence,
            microBatchSize: try arguments.int(
                "micro-batch-size", default: 1, in: 1...most(1 << 28, sequence)),
            microBatches: try arguments.int(
                "gradient-accumulation-steps", default: 1, in: 1...4096))
    }

    /// Most sequences of a length whose tokens together do not exceed a number, beyond which sizes could overflow.
    static func most(_ tokens: Int, _ length: Int) -> Int { max(1, min(65536, tokens / length)) }
}

/// All stages, the run with known data, and what they come to.
struct FullPlan {
    /// The stages.
    let report: PlanReport
    /// The run with known data; nil without one.
    let training: PlannedTraining?
    /// What to do.
    let conclusion: PlanConclusion

    /// Plans a request.
    init(_ request: PlanRequest, _ arguments: ParsedArguments) throws {
        let folder = request.folder
        let devices = try DeviceBudget(arguments)
        let outline = try request.run.map { run in
            try TrainingOutline(FullPlan.prepared(run.config, arguments)) { InterruptFlag.isRaised }
        }
        let backend = try CommonOptions.backend(arguments, limit: .max)
        var planner = Planner(
            description: folder.description, limits: devices.limits,
            weightLimits: devices.weightLimits,
            programBytes: ProcessMemory.program(for: .generation, threads: backend.threads),
            backend: backend)
        let speeds =
            arguments.flag("no-speed")
            ? nil : try MachineSpeeds(arguments, folder: request.place, backend, measuring: true)
        planner.estimator = speeds?.estimator(folder.description)
        let generation = try FullPlan.generation(arguments, folder.description)
        var report = try planner.report(
            folder: folder, training: request.training, generation: generation)
        let subject = PlanSubject(
            model: request.model, memory: arguments.string("memory"),
            context: arguments.isGiven("context") ? generation.contextLength : nil,
            stepTokens: request.training.stepTokens, hasWeights: folder.checkpoint != nil,
            isDense: try folder.isDense(),
            isChat: (try? ChatTemplates.load(folder: folder.path)) != nil)
        let choice = planner.choice(report, subject, generation: generation)
        report.stages += try [
            planner.serving(choice?.kind, folder: folder, generation: generation)
        ].compactMap(\.self)
        let bits =
            choice?.bits ?? choice.flatMap { planner.faster(than: $0, report, subject)?.bits }
        report.add(
            conversions: try PlannedConversions(
                folder: folder, rank: request.training.rank, bits: bits ?? 4,
                backend: backend, programBytes: planner.programBytes, limits: devices.limits,
                speeds: speeds
            ).stages())
        training = try outline.map {
            try PlannedTraining(
                $0, name: request.run?.name ?? "", planner: planner, backend: backend)
        }
        if let training { report.stages.insert(training.stage, at: 0) }
        var item = training?.item(
            ["train", request.run?.name ?? ""] + subject.budget, devices.limits)
        item?.file = request.run?.file
        conclusion = planner.conclusion(report, subject, choice: choice, training: item)
        self.report = report
    }

    private static func generation(
        _ arguments: ParsedArguments, _ model: DecoderDescription
    ) throws -> GenerationNeed {
        let context = try arguments.int(
            "context", default: min(2048, model.contextLength), in: 1...(1 << 24))
        return GenerationNeed(
            contextLength: context,
            sequences: try arguments.int(
                "batch", default: 1, in: 1...PlanRequest.most(1 << 32, context)),
            kvType: try CommonOptions.cacheType(arguments, model))
    }

    /// A configuration whose base is the NF4 form that an earlier run has made of it, where there is one.
    private static func prepared(
        _ config: AxolotlConfig, _ arguments: ParsedArguments
    ) throws -> AxolotlConfig {
        var config = config
        guard config.adapter?.quantizesBase == true, config.model.doubleQuantization,
            config.adapter?.initialization != .loftq,
            let folder = try? ModelFolder.open(config.model.baseModel, scores: true),
            let base = try PreparedBase(folder, caches: arguments.string("cache-dir")),
            base.isCurrent
        else { return config }
        config.model.preparedBase = base.path
        return config
    }

    /// The plan as an object for machines.
    var node: ConfigNode {
        guard case .object(var object) = report.node.value else { return report.node }
        object["conclusion"] = conclusion.node
        if let training { object["training"] = training.node }
        return ConfigNode(object)
    }
}
