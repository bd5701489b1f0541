// SPDX-License-Identifier: Apache-2.0
// eft quantize: a 16-bit model to EXL2, GPTQ or FP8.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers
import EftTraining

enum QuantizeCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    /// Options of ExLlamaV2's convert.py that have no effect.
    private static let noEffect = [
        IneffectiveOption(
            "-hsol", "--hidden-state-offload-layers", value: "N",
            reason: "hidden states are on the disk"),
        IneffectiveOption("-fst", "--fast-safetensors", reason: "files are read directly already"),
    ]

    static let specification = CommandSpecification(
        name: "quantize",
        abstract:
            "Quantize a model by GPTQ, to EXL2 at 2 to 8 bits a weight or to GPTQ's own files, or round it to FP8.",
        discussion:
            "Layer by layer, on calibration text: one layer's weights are in memory at a time. A run that "
            + "was stopped goes on at the last finished layer when it is started again with the same "
            + "options, or with -o alone.\n"
            + "The model is measured first: what each width would cost each layer; then the bits that -b allows are "
            + "spent where they count most. The command lines of ExLlamaV2's convert.py are taken, and its "
            + "measurement.json is read (-m) and written (-om).",
        examples: [
            Example(
                "eft quantize -i ./llama -o ./work -cf ./llama-4.65bit -b 4.65",
                "4.65 bits a weight, the head at 6, with the built-in calibration text"),
            Example(
                "eft quantize -i ./llama -o ./work -cf ./llama-3bit -b 3 -hb 8 -c rows.jsonl -r 200",
                "3 bits, 200 calibration rows"),
            Example(
                "eft quantize -i ./llama -o ./work -cf ./llama-gptq --format gptq --act-order",
                "4 bits in groups of 128, for transformers, vLLM and others"),
            Example(
                "eft quantize -i ./llama -o ./llama-fp8 --format fp8",
                "8-bit floating point numbers with a scale for 128 x 128 of them"),
        ],
        options: [
            OptionSpecification(
                "-i", "--in-dir", kind: .value("DIR"), help: "the model's folder",
                defaultText: "that of the job in the work folder", completion: .folder),
            OptionSpecification(
                "-o", "--out-dir", kind: .value("DIR"), help: "the work folder", isRequired: true,
                completion: .folder),
            OptionSpecification(
                "-cf", "--compile-full", kind: .value("DIR"),
                help: "where the finished model goes; without it the weights go to the work folder",
                completion: .folder),
            OptionSpecification(
                "--adapter", kind: .value("DIR"),
                help:
                    "a LoRA adapter to fold into the 16-bit model as it is read; no merged copy is written",
                completion: .folder),
            OptionSpecification(
                "--format", kind: .value("NAME"),
                help:
                    "the form of the files: exl2; gptq, which transformers, vLLM and others load; fp8, as DeepSeek and Qwen publish "
                    + "theirs, which takes no calibration: -o is then the folder to write",
                defaultText: "exl2", choices: ["exl2", "gptq", "fp8"]),
            OptionSpecification(
                "--group-size", kind: .value("N"),
                help:
                    "inputs that share a scale in GPTQ's files, or rows and columns in FP8's: 32, 64 or 128",
                defaultText: "128"),
            OptionSpecification(
                "--act-order",
                help:
                    "quantize and group the inputs of GPTQ's files by falling activity (desc_act): a little nearer to the "
                    + "original, slower with some readers"),
            OptionSpecification(
                "-b", "--bits", kind: .value("N"),
                help:
                    "bits of a weight of the decoder's layers, such as 2.4 or 4.65; 2, 3, 4 or 8 in GPTQ's files",
                defaultText: "4.125; 4 with --recipe uniform and in GPTQ's files"),
            OptionSpecification(
                "--recipe", kind: .value("NAME"),
                help:
                    "how widths are chosen: eft, by how much the predictions depend on each layer; exllamav2, "
                    + "as its converter does; uniform, one width for all layers, without measurement",
                defaultText: "eft", choices: QuantizeRecipe.allCases.map(\.rawValue)),
            OptionSpecification(
                "-hb", "--head-bits", kind: .value("N"),
                help: "bits of the head: 2, 3, 4, 5, 6 or 8",
                defaultText: "6"),
            OptionSpecification(
                "--quantize-embedding",
                help:
                    "quantize the embedding too, to the head's bits; where the head is the embedding, one copy "
                    + "serves both. ExLlamaV2 does not read such a folder"),
            OptionSpecification(
                "-c", "--cal-dataset", kind: .value("FILE"),
                help:
                    "calibration: a UTF-8 text, .jsonl or .parquet rows (a text, instructions, conversations), or a "
                    + "training configuration (.yml), for its data",
                defaultText:
                    "calibration.txt or calibration.jsonl in the model's folder, else a built-in text",
                completion: .file),
            OptionSpecification(
                "-r", "--dataset-rows", kind: .value("N"), help: "calibration rows",
                defaultText: "100"),
            OptionSpecification(
                "-l", "--length", kind: .value("N"), help: "tokens of a row",
                defaultText: "2048, or the model's context if that is shorter"),
            OptionSpecification(
                "-mr", "--measurement-rows", kind: .value("N"),
                help: "of these rows, how many to measure with", defaultText: "16"),
            OptionSpecification(
                "-ml", "--measurement-length", kind: .value("N"),
                help: "tokens of a row to measure with", defaultText: "2048, or as -l"),
            OptionSpecification(
                "-m", "--measurement", kind: .value("FILE"),
                help: "use this measurement.json instead of measuring", completion: .file),
            OptionSpecification(
                "-om", "--output-measurement", kind: .value("FILE"),
                help: "measure only, and write this file (or measurement.json in a folder)",
                completion: .file),
            OptionSpecification(
                "-ss", "--shard-size", kind: .value("MB"),
                help: "MiB of a weight file; 0: one file",
                defaultText: "8192"),
            OptionSpecification(
                "--fit", kind: .value("SIZE"),
                help:
                    "take the widest -b with which the model runs within so much memory, or on devices of such sizes "
                    + "(24GiB, 4x24GiB), with the context of --context"
            ),
            OptionSpecification(
                "--context", kind: .value("N"), help: "tokens of context that --fit makes room for",
                defaultText: "8192, or what the model was made for"),
            OptionSpecification("-nr", "--no-resume", help: "start anew in the work folder"),
            OptionSpecification(
                "-res", "--resume", help: "go on with the job in the work folder, or fail"),
            OptionSpecification(
                "-rs", "--rope-scale", kind: .value("R"),
                help: "divide positions by R, also in the config.json that is written"),
            OptionSpecification(
                "-ra", "--rope-alpha", kind: .value("A"),
                help:
                    "raise the rotary base by NTK's alpha, also in the config.json that is written"),
            OptionSpecification(
                "-so", "--status-output",
                help: "print progress on standard output, a line of [STATUS] and JSON each second"),
            ConversionOptions.dryRun, CommonOptions.memory, CommonOptions.threads,
            CommonOptions.json,
        ] + noEffect.map(\.specification))

    static func run(_ arguments: ParsedArguments) throws {
        if arguments.string("format") == "fp8" { return try writeFP8(arguments) }
        let isJSON = arguments.flag("json")
        if let notice = IneffectiveOption.notice(noEffect, arguments), !isJSON {
            TerminalOutput.standardError.writeLine("note: \(notice)")
        }
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let work = try arguments.required("out-dir")
        let earlier = try earlierJob(arguments, work)
        guard
            let input = try arguments.isGiven("in-dir")
                ? arguments.model("in-dir") : earlier?.input
        else {
            throw arguments.error("in-dir", "is required: \(work) holds no job to go on with")
        }
        let adapter =
            try arguments.string("adapter").map { try arguments.adapter(at: $0) }
            ?? earlier?.options.adapter
        let folder = try ModelFolder.open(input).adapted(by: adapter.map { [$0] } ?? [])
        let options = try options(arguments, folder.description, backend, earlier?.options)
        try options.check()
        let calibration = try calibration(arguments, folder, options, earlier)
        let output = arguments.string("compile-full") ?? earlier?.output
        let job = try QuantizeJob(
            input: input, work: work, output: output, calibration: calibration, options: options,
            backend: backend)
        let watch = try ConversionWatch(
            arguments, plan: StagePlan(name: "quantize", memory: try job.memory()), limit: limit,
            work: .quantizing, copying: folder.path)
        if job.resumedLayers > 0, !isJSON {
            TerminalOutput.standardError.writeLine(
                "\(job.resumedLayers) of \(folder.description.layers) layers are done already")
        }
        if arguments.flag("dry-run") {
            describe(watch, options, calibration, from: input, to: output ?? work)
            return
        }
        let report = try watch.run(
            "quantizing", count: { "\($0 / 1_000_000) M weights" },
            resumes: "run it again with the same options to go on at the last finished layer",
            status: arguments.flag("status-output") ? StatusLines() : nil
        ) { try job.run($0) }
        if let file = options.measurementOutput {
            return watch.finish(["measurement": ConfigNode(file)], "wrote \(file)")
        }
        var object: ConfigObject = ["output": ConfigNode(output ?? work)]
        for (key, node) in try ConfigCursor(report.node).object().entries { object[key] = node }
        watch.finish(object, text(report, to: output ?? work))
    }

    private static func describe(
        _ watch: ConversionWatch, _ options: QuantizeOptions, _ calibration: CalibrationRows,
        from input: String, to output: String
    ) {
        watch.describe(
            description(options, calibration, output),
            "would quantize \(input) to \(formatTrimmed(options.bits, decimals: 3)) bits, \(ends(options)), on "
                + "\(calibration.rows.count) rows of \(calibration.longest) tokens of \(calibration.name), to "
                + output)
    }

    private static func description(
        _ options: QuantizeOptions, _ calibration: CalibrationRows, _ output: String
    ) -> ConfigObject {
        var object: ConfigObject = [
            "output": ConfigNode(output), "format": ConfigNode(options.form.name),
            "bits": ConfigNode(options.bits),
        ]
        if let settings = options.form.gptq {
            object["group_size"] = ConfigNode(settings.groupSize)
            object["act_order"] = ConfigNode(.bool(settings.isActivityOrdered))
        } else {
            object["recipe"] = ConfigNode(options.recipe.rawValue)
            object["head_bits"] = ConfigNode(options.headBits)
        }
        object["rows"] = ConfigNode(calibration.rows.count)
        object["length"] = ConfigNode(calibration.longest)
        object["calibration"] = ConfigNode(calibration.name)
        return object
    }

    private static func ends(_ options: QuantizeOptions) -> String {
        guard let settings = options.form.gptq else { return "the head to \(options.headBits)" }
        let order = settings.isActivityOrdered ? " by activity" : ""
        return "in GPTQ's groups of \(settings.groupSize)\(order)"
    }

    /// The job that was begun in the work folder, where the command line wants to go on with it.
    /// - Throws: `UsageError` when there is none and -res is given.
    private static func earlierJob(
        _ arguments: ParsedArguments, _ work: String
    ) throws -> QuantizeSettings? {
        let mustResume = arguments.flag("resume")
        if mustResume, arguments.flag("no-resume") {
            throw arguments.error("resume", "and --no-resume exclude each other")
        }
        // A command line that names the model names all that differs from the defaults.
        guard mustResume || arguments.string("in-dir") == nil else { return nil }
        let job = try QuantizeSettings.read(work: work)
        guard job != nil || !mustResume else {
            throw arguments.error("resume", "finds no job in \(work); start one with -i")
        }
        return job
    }

    private static func options(
        _ arguments: ParsedArguments, _ model: DecoderDescription, _ backend: CPUBackend,
        _ earlier: QuantizeOptions?
    ) throws -> QuantizeOptions {
        let fitting =
            try arguments.memorySizes("fit").map {
                try fittingBits(arguments, $0.map(\.bytes), model, backend)
            }
        let recipe =
            arguments.string("recipe").flatMap { QuantizeRecipe(rawValue: $0) }
            ?? earlier?.recipe ?? .eft
        let form = try form(arguments, earlier)
        let usualBits = recipe == .uniform || form != .exl2 ? 4 : 4.125
        let bits = try arguments.double(
            "bits", default: fitting ?? earlier?.bits ?? usualBits, in: 0...32)
        let usual = earlier.map { $0.maxShardBytes == .max ? 0 : $0.maxShardBytes >> 20 }
        let shard = try arguments.int("shard-size", default: usual ?? 8192, in: 0...(1 << 30))
        var options = QuantizeOptions(
            bits: bits, recipe: recipe,
            headBits: try arguments.int(
                "head-bits", default: fitting.map(Planner.headBits) ?? earlier?.headBits ?? 6),
            rows: try arguments.int(
                "dataset-rows", default: earlier?.rows ?? 100, in: 1...(1 << 20)),
            length: try arguments.int(
                "length", default: earlier?.length ?? min(2048, model.contextLength),
                in: 2...(1 << 20)),
            maxShardBytes: shard == 0 ? .max : shard << 20,
            startsAnew: arguments.flag("no-resume"))
        options.form = form
        options.measurementRows = try arguments.int(
            "measurement-rows", default: earlier?.measurementRows ?? options.measurementRows,
            in: 1...(1 << 20))
        options.measurementLength = try arguments.int(
            "measurement-length",
            default: earlier?.measurementLength ?? min(2048, options.length), in: 2...(1 << 20))
        options.quantizesEmbedding =
            arguments.flag("quantize-embedding") || earlier?.quantizesEmbedding ?? false
        options.adapter = arguments.string("adapter") ?? earlier?.adapter
        options.measurement = arguments.string("measurement") ?? earlier?.measurement
        options.measurementOutput = try measurementOutput(arguments)
        options.ropeScale =
            try arguments.double("rope-scale", in: 0.01...1000) ?? earlier?.ropeScale
        options.ropeAlpha =
            try arguments.double("rope-alpha", in: 0.01...1000) ?? earlier?.ropeAlpha
        return options
    }

    /// The form of the files.
    /// - Throws: `UsageError` for options that the form does not have.
    private static func form(
        _ arguments: ParsedArguments, _ earlier: QuantizeOptions?
    ) throws -> QuantizeForm {
        let name = arguments.string("format") ?? earlier?.form.name ?? "exl2"
        guard name == "gptq" else {
            for option in ["group-size", "act-order"] where arguments.isGiven(option) {
                throw arguments.error(option, "is not for EXL2; give --format gptq too")
            }
            return .exl2
        }
        let foreign = [
            "recipe", "head-bits", "quantize-embedding", "measurement", "output-measurement",
            "measurement-rows", "measurement-length", "fit",
        ]
        for option in foreign where arguments.isGiven(option) {
            throw arguments.error(
                option,
                "is for EXL2: GPTQ's files have one width, and leave embedding and head as they are"
            )
        }
        let usual = earlier?.form.gptq ?? GPTQSettings()
        return .gptq(
            GPTQSettings(
                groupSize: try arguments.int("group-size", default: usual.groupSize, in: 32...128),
                isActivityOrdered: arguments.flag("act-order") || usual.isActivityOrdered))
    }

    /// The file of -om; a folder stands for measurement.json in it.
    private static func measurementOutput(_ arguments: ParsedArguments) throws -> String? {
        guard let path = arguments.string("output-measurement") else { return nil }
        guard arguments.string("compile-full") == nil else {
            throw arguments.error("output-measurement", "measures only; leave out --compile-full")
        }
        return FileSystem.isFolder(path) ? FileSystem.join(path, "measurement.json") : path
    }

    /// The widest width with which the model will run.
    /// - Throws: `UsageError` beside --bits, `BudgetError` when no width is narrow enough.
    private static func fittingBits(
        _ arguments: ParsedArguments, _ limits: [Int], _ model: DecoderDescription,
        _ backend: CPUBackend
    ) throws -> Double {
        guard arguments.string("bits") == nil else {
            throw arguments.error("fit", "chooses the bits; leave out --bits")
        }
        let context = try arguments.int(
            "context", default: min(FitRequirements.enough, model.contextLength), in: 1...(1 << 24))
        let requirements = FitRequirements(
            least: context, most: context,
            kvTypes: FitRequirements.kvTypes(headDim: model.shape.headDim))
        let planner = Planner(
            description: model, limits: limits,
            programBytes: ProcessMemory.program(for: .generation, threads: backend.threads),
            backend: backend)
        guard
            let (bits, need) = planner.widestEXL2(
                requirements: requirements,
                quantizesEmbedding: arguments.flag("quantize-embedding"))
        else {
            throw BudgetError(
                description:
                    "no width fits with \(context) tokens of context; lower --context or raise --fit"
            )
        }
        if !arguments.flag("json") {
            TerminalOutput.standardError.writeLine(
                "fit: \(formatTrimmed(bits, decimals: 3)) bits, \(need.contextLength) tokens of context, keys and values in "
                    + need.kvType.rawValue)
        }
        return bits
    }

    private static func calibration(
        _ arguments: ParsedArguments, _ folder: ModelFolder, _ options: QuantizeOptions,
        _ earlier: QuantizeSettings?
    ) throws -> CalibrationRows {
        let own = ["calibration.txt", "calibration.jsonl"]
            .map { FileSystem.join(folder.path, $0) }.first(where: FileSystem.exists)
        let tokenizer = try Tokenizer.load(folder: folder.tokenizerFolder)
        func encode(_ text: String) throws -> [Int32] {
            try tokenizer.encode(text, addSpecialTokens: true)
        }
        let file = arguments.string("cal-dataset") ?? (earlier.map(\.calibration) ?? own)
        if let file, [".yml", ".yaml"].contains(where: file.hasSuffix) {
            return try trainingRows(
                file, folder, options, memoryLimit: CommonOptions.limit(arguments))
        }
        if let file {
            return try CalibrationRows(
                file: file, rows: options.rows, length: options.length, encode: encode)
        }
        let rows = try BuiltInText.rows(
            options.rows, length: options.length, vocabulary: folder.description.vocabulary,
            encode: encode)
        if !arguments.flag("json") {
            TerminalOutput.standardError.writeLine(
                "calibration: \(rows.rows.count) rows of \(rows.longest) tokens of the built-in text; text like "
                    + "that which the model will read makes it better (-c FILE)")
        }
        return rows
    }

    /// Rows of the data that a training configuration names, tokenized as it says.
    private static func trainingRows(
        _ file: String, _ folder: ModelFolder, _ options: QuantizeOptions, memoryLimit: Int
    ) throws -> CalibrationRows {
        let document = ConfigCursor(
            try YAMLParser.parse(FileSystem.read(file), file: file), file: file)
        var config = try AxolotlConfig(document)
        config.data.memoryLimit = memoryLimit
        let examples = try PreparedExamples(
            config, tokenizerFolder: folder.tokenizerFolder,
            vocabulary: folder.description.vocabulary, shouldStop: { InterruptFlag.isRaised })
        return try CalibrationRows(
            name: file, tokens: examples.data.train.flatMap(\.tokens), rows: options.rows,
            length: options.length, path: file)
    }

    private static func text(_ report: QuantizeReport, to output: String) -> String {
        var table = TableRenderer([
            .init("layer"), .init("bits", .right), .init("error", .right),
            .init("plain rounding", .right),
        ])
        func percent(_ value: Double) -> String {
            formatFixed(100 * value.squareRoot(), decimals: 2) + " %"
        }
        for linear in report.linears {
            table.add([
                linear.name, formatFixed(linear.bitsPerWeight, decimals: 2), percent(linear.error),
                percent(linear.roundingError),
            ])
        }
        var lines = table.render(width: TerminalOutput.standardOutput.wrapWidth)
        if let perplexity = report.calibrationPerplexity {
            lines += "calibration perplexity \(formatFixed(perplexity, decimals: 3))\n"
        }
        if let rarest = report.rareExperts.min(by: { $0.tokens < $1.tokens }) {
            lines +=
                "few calibration tokens chose \(report.rareExperts.count) of the experts (\(rarest.tokens) chose "
                + "\(rarest.name)): they are rounded with less knowledge; more rows (-r, -c) help\n"
        }
        let bits = formatFixed(report.bitsPerWeight, decimals: 2)
        return lines + "\(bits) bits a weight in the decoder's layers; wrote \(output)"
    }
}
