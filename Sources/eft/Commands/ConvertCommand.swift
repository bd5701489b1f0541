// SPDX-License-Identifier: Apache-2.0
// eft convert: any checkpoint to safetensors.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor

enum ConvertCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    static let specification = CommandSpecification(
        name: "convert",
        abstract: "Rewrite a checkpoint as safetensors, in another type of numbers or in NF4.",
        discussion:
            "Reads .bin, .safetensors and GGUF, sharded or not, a small piece of a tensor at a time. Quantized weights (EXL2, GPTQ, AWQ, "
            + "compressed-tensors, bitsandbytes) stay as they are, or become numbers where --dtype is given; other integers stay "
            + "as they are; config.json names the new type; the tokenizer and other files are copied. A run "
            + "that was stopped goes on after the last finished weight file when it is started again with "
            + "the same arguments.",
        examples: [
            Example(
                "eft convert ./llama-bin ./llama --dtype bf16", "PyTorch .bin to bf16 safetensors"),
            Example(
                "eft convert adapter_model.bin adapter_model.safetensors", "one file to another"),
            Example("eft convert ./model ./model-f16 --dtype f16", "bf16 to f16, overflow refused"),
            Example("eft convert ./model-gptq ./model --dtype f16", "GPTQ codes to numbers"),
            Example(
                "eft convert ./model model.gguf --type q4_k_m",
                "one file for llama.cpp and Ollama"),
            Example(
                "eft convert ./model model.gguf --type iq4_xs --imatrix imatrix.gguf",
                "scales chosen by what matters on a text"),
            Example(
                "eft convert ./model ./model-nf4 --dtype nf4",
                "linear layers in bitsandbytes' NF4 with double quantization"),
        ],
        options: [
            OptionSpecification(
                "--dtype", kind: .value("TYPE"),
                help:
                    "the type of all real numbers, or nf4 for the linear layers of the decoder's layers",
                defaultText: "as stored", choices: ConversionOptions.typeNames + ["nf4"]),
            OptionSpecification(
                "--type", kind: .value("MIX"),
                help: "how a .gguf file holds weights: " + ConversionOptions.mixNames,
                defaultText: "16 or 32 bits, as stored"),
            OptionSpecification(
                "--imatrix", kind: .value("FILE"),
                help:
                    "llama-imatrix's file, .gguf or .dat, of how much each input matters, for the scales of a "
                    + ".gguf file's blocks"),
            ConversionOptions.shard, ConversionOptions.dryRun, CommonOptions.memory,
            CommonOptions.threads,
            CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification("IN", help: "the folder or file to read", completion: .folder),
            ArgumentSpecification(
                "OUT",
                help: "the folder to write, or one file that ends with .safetensors or .gguf",
                completion: .folder),
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let output = try arguments.requiredArgument("OUT")
        if OutputFolder.isFile(output), arguments.isGiven("max-shard-size") {
            throw arguments.error(
                "max-shard-size", "does not go with one output file; give a folder as OUT")
        }
        if output.hasSuffix(".gguf") { return try toGGUF(arguments, output, backend, limit) }
        for name in ["type", "imatrix"] where arguments.isGiven(name) {
            throw arguments.error(name, "is for files that end with .gguf; give one as OUT")
        }
        if arguments.string("dtype") == "nf4" {
            guard !OutputFolder.isFile(output) else {
                throw arguments.error("dtype", "nf4 makes a folder; give one as OUT")
            }
            try toNF4(arguments, output, backend, limit)
            return
        }
        let input = try arguments.modelArgument("IN")
        if let type = ConversionOptions.type(arguments), !OutputFolder.isFile(output),
            FileSystem.exists(FileSystem.join(input, "config.json")),
            CheckpointConverter.codes(in: try CheckpointFolder.open(input)) != nil
        {
            try toNumbers(arguments, input, output, type, backend, limit)
            return
        }
        let converter = try CheckpointConverter(
            input: input, output: output,
            options: CheckpointConverter.Options(
                dtype: ConversionOptions.type(arguments),
                maxShardBytes: ConversionOptions.shardBytes(arguments)),
            backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "convert", memory: CheckpointConverter.memory, disk: converter.byteCount),
            limit: limit, copying: input)
        try convert(watch, arguments, output, converter.tensors.count, converter.byteCount) {
            try converter.run($0)
        }
    }
}

extension ConvertCommand {
    private static func toNF4(
        _ arguments: ParsedArguments, _ output: String, _ backend: CPUBackend, _ limit: Int
    ) throws {
        let folder = try ModelFolder.open(arguments.modelArgument("IN"), scores: true)
        let converter = try NF4Converter(
            folder, output: output, maxShardBytes: ConversionOptions.shardBytes(arguments),
            backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "convert to NF4", memory: NF4Converter.memory(folder.description),
                disk: converter.byteCount), limit: limit, copying: folder.path)
        try convert(watch, arguments, output, converter.tensorCount, converter.byteCount) {
            try converter.run($0)
        }
    }

    /// Writes a file for llama.cpp.
    private static func toGGUF(
        _ arguments: ParsedArguments, _ output: String, _ backend: CPUBackend, _ limit: Int
    ) throws {
        for name in ["dtype", "max-shard-size"] where arguments.isGiven(name) {
            throw arguments.error(
                name, "does not go with a .gguf file; --type says how it holds weights")
        }
        let folder = try ModelFolder.open(arguments.modelArgument("IN"))
        let converter = try GGUFConverter(
            folder, output: output, mix: ConversionOptions.mix(arguments, folder),
            importance: arguments.string("imatrix"), backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "convert to GGUF", memory: converter.memory, disk: converter.byteCount),
            limit: limit, copying: folder.path)
        try convert(watch, arguments, output, converter.tensorCount, converter.byteCount) {
            try converter.run($0)
        }
    }

    /// Writes the numbers that quantized weights stand for.
    private static func toNumbers(
        _ arguments: ParsedArguments, _ input: String, _ output: String, _ type: DType,
        _ backend: CPUBackend, _ limit: Int
    ) throws {
        let converter = try AdapterMerger(
            base: input, adapter: nil, output: output,
            options: AdapterMerger.Options(
                dtype: type, maxShardBytes: ConversionOptions.shardBytes(arguments)),
            backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "convert to \(type.rawValue)", memory: converter.memory,
                disk: converter.byteCount), limit: limit, copying: input)
        try convert(watch, arguments, output, converter.tensors.count, converter.byteCount) {
            try converter.run($0)
        }
    }

    /// Does the work, or says what it would write.
    private static func convert(
        _ watch: ConversionWatch, _ arguments: ParsedArguments, _ output: String, _ tensors: Int,
        _ bytes: Int, _ work: (ConversionMonitor) throws -> [String]
    ) throws {
        let object: ConfigObject = [
            "output": ConfigNode(output), "tensors": ConfigNode(tensors),
            "bytes": ConfigNode(bytes),
        ]
        let what = "\(tensors) tensors, \(formatBytes(bytes)), to \(output)"
        if arguments.flag("dry-run") {
            watch.describe(object, "would write \(what)")
            return
        }
        let files = try watch.run("converting", work)
        watch.finish(object.adding("files", ConfigNode(files)), "wrote \(what)")
    }
}

/// Options that convert, merge and quantize share.
enum ConversionOptions {
    static let dtype = OptionSpecification(
        "--dtype", kind: .value("TYPE"), help: "the type of all real numbers",
        defaultText: "as stored", choices: typeNames)

    /// Types by all the names that the field's tools have for them; the first of each is Eft's own.
    private static let types: [(type: DType, names: [String])] = [
        (.bf16, ["bf16", "bfloat16", "torch.bfloat16"]),
        (.f16, ["f16", "fp16", "float16", "half", "torch.float16"]),
        (.f32, ["f32", "fp32", "float32", "float", "torch.float32"]),
    ]
    static let typeNames = types.flatMap(\.names)

    static let dryRun = OptionSpecification(
        "--dry-run", help: "show the plan and what would be written, and write nothing")
    static let shard = OptionSpecification(
        "--max-shard-size", kind: .value("SIZE"), help: "the most bytes of a weight file",
        defaultText: "5GB")

    static func type(_ arguments: ParsedArguments) -> DType? {
        arguments.string("dtype").flatMap { name in
            types.first { $0.names.contains(name) }?.type
        }
    }

    /// The mixes of GGUF files.
    static let mixNames = GGUFMix.allCases.map(\.rawValue).joined(separator: ", ")

    /// The mix that is asked for, else the type of the embedding.
    static func mix(_ arguments: ParsedArguments, _ folder: ModelFolder) throws -> GGUFMix {
        if let name = arguments.string("type") {
            guard let mix = GGUFMix(rawValue: name.lowercased()) else {
                throw arguments.error("type", "'\(excerpt(name))' is none of \(mixNames)")
            }
            return mix
        }
        let name = folder.description.embeddingName + ".weight"
        switch folder.checkpoint?.find(name)?.dtype {
        case .f16: return .f16
        case .bf16: return .bf16
        default: return .f32
        }
    }

    static func shardBytes(_ arguments: ParsedArguments) throws -> Int {
        try arguments.memorySize("max-shard-size")?.bytes ?? SafetensorsWriter.defaultShardBytes
    }
}

/// Plan, progress and outcome of a conversion, for people or machines.
struct ConversionWatch {
    private let budget: Budget
    private let isJSON: Bool
    private let progress = ProgressReporter(output: .standardError)

    /// Shows the plan, or refuses it.
    /// - Parameter model: the model whose tokenizer is copied.
    /// - Throws: `BudgetError`.
    init(
        _ arguments: ParsedArguments, plan: StagePlan, limit: Int,
        work: ProcessMemory.Work = .copying, copying model: String
    ) throws {
        isJSON = arguments.flag("json")
        var plan = plan
        plan.devices[0][.program] += ConversionWatch.documentBytes(model)
        plan.devices[0][.program] += ProcessMemory.program(
            for: work, threads: try CommonOptions.threadCount(arguments))
        budget = Budget(plan: plan, limits: [limit])
        try budget.announce(quiet: isJSON)
    }

    /// The most memory in which the tokenizer of a GGUF file is written as tokenizer.json; none for folders, whose files are
    /// copied in pieces.
    static func documentBytes(_ model: String) -> Int {
        let config = FileSystem.join(model, "config.json")
        guard FileSystem.isFolder(model), !FileSystem.isDirectory(model),
            let bytes = try? FileSystem.read(config), let node = try? JSONParser.parse(bytes),
            let tokens = try? ConfigCursor(node).required("vocab_size").int()
        else { return 0 }
        return min(max(tokens, 0), 1 << 24) * 320
    }

    /// Runs work under a progress line that Ctrl-C ends.
    func run<R>(
        _ verb: String, count: (Int) -> String = formatBytes,
        resumes: String =
            "run it again with the same arguments to go on after the last finished weight file",
        status: StatusLines? = nil, _ work: (ConversionMonitor) throws -> R
    ) throws -> R {
        let (progress, isJSON) = (progress, isJSON)
        var clock = RemainingTime()
        return try withoutActuallyEscaping(count) { count in
            let monitor = ConversionMonitor(
                checkInterrupt: {
                    guard !InterruptFlag.isRaised else {
                        progress.finish()
                        throw Interruption(description: "interrupted; \(resumes)")
                    }
                },
                note: { if !isJSON { progress.note($0) } },
                report: { step in
                    status?.show(verb, step)
                    guard !isJSON else { return }
                    let left = clock.seconds(done: step.done, total: step.total)
                    let share = step.total > 0 ? Double(step.done) / Double(step.total) : 1
                    progress.update(
                        verb, share: share, amount(step, share: share, count, left: left))
                })
            let result = try work(monitor)
            progress.clear()
            return result
        }
    }

    /// Prints what would be done.
    func describe(_ object: ConfigObject, _ text: String) {
        guard isJSON else {
            TerminalOutput.standardOutput.writeLine(text)
            return
        }
        JSONOutput.print(
            ConfigNode(
                object.adding("dry_run", ConfigNode(true))
                    .adding("peak_memory_planned", ConfigNode(budget.peaks.planned))))
    }

    /// Prints the outcome, with peaks.
    func finish(_ object: ConfigObject, _ text: String) {
        let (planned, measured) = budget.peaks
        guard isJSON else {
            TerminalOutput.standardOutput.writeLine(text)
            TerminalOutput.standardError.writeLine(budget.outcome)
            return
        }
        var object = object
        object["peak_memory_planned"] = ConfigNode(planned)
        object["peak_memory_measured"] = ConfigNode(measured)
        JSONOutput.print(ConfigNode(object))
    }
}

/// How far work has come, in words, and how long it will still take.
private func amount(
    _ step: ConversionMonitor.Progress, share: Double, _ count: (Int) -> String, left: Double?
) -> String {
    let remaining = left.map { ", \(formatDuration($0)) left" } ?? ""
    return "\(formatFixed(100 * share, decimals: 1)) % (\(count(step.done)) of "
        + "\(count(step.total))\(remaining)): \(step.item)"
}

/// How long work will still take, by the speed of this run: what an earlier one did took no time.
private struct RemainingTime {
    private var first: (done: Int, time: ContinuousClock.Instant)?

    /// Seconds that are left, or nil before there is anything to tell it by.
    mutating func seconds(done: Int, total: Int) -> Double? {
        let now = ContinuousClock.now
        guard let first else {
            first = (done, now)
            return nil
        }
        guard done > first.done, done - first.done > total / 100 else { return nil }
        return (now - first.time) / .seconds(1) * Double(total - done) / Double(done - first.done)
    }
}

extension ConfigObject {
    /// The mapping with one key more.
    func adding(_ key: String, _ node: ConfigNode) -> ConfigObject {
        var object = self
        object[key] = node
        return object
    }
}
