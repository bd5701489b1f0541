// SPDX-License-Identifier: Apache-2.0
// eft merge: a base and an adapter to one 16-bit folder.
import EftCommandLine
import EftConfig
import EftConversion
import EftModels
import EftPlanning
import EftTensor
import EftTraining

enum MergeCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    /// Options of all merges.
    static let mergeOptions = [
        OptionSpecification(
            "--load-in-4bit", kind: .invertibleFlag,
            help:
                "merge into the values that NF4 makes of the base, as QLoRA trained; --no-load-in-4bit takes "
                + "the 16-bit values, which is better when the result is quantized afterwards",
            defaultText: "as the adapter was trained, where that is known; else no"),
        ConversionOptions.dtype, ConversionOptions.shard, ConversionOptions.dryRun,
        CommonOptions.memory, CommonOptions.threads, CommonOptions.json,
    ]

    static let specification = CommandSpecification(
        name: "merge",
        abstract: "Merge a PEFT adapter into its base model.",
        discussion:
            "One tensor at a time: memory is set by the largest one, not by the model. A merge is a choice: "
            + "run takes base and adapter as they are. What training held in NF4 is first brought to the "
            + "values that training saw; a training configuration beside the adapter says whether it did. "
            + "To quantize the result afterwards, give --no-load-in-4bit. "
            + "A run that was stopped goes on after the last finished weight file when it is started again "
            + "with the same arguments.",
        examples: [
            Example("eft merge --base ./llama --adapter ./outputs/qlora -o ./merged", "folders"),
            Example(
                "eft merge qlora.yml", "as the training configuration says, to output_dir/merged"),
            Example(
                "eft merge qlora.yml --no-load-in-4bit", "for eft quantize afterwards"),
        ],
        options: [
            OptionSpecification(
                "--base", kind: .value("DIR"), help: "the base model: 16-bit, f32 or NF4",
                completion: .folder),
            OptionSpecification(
                "--adapter", kind: .value("DIR"), help: "the PEFT adapter", completion: .folder),
            OptionSpecification(
                "-o", "--output", kind: .value("DIR"), help: "the folder to write",
                completion: .folder),
        ] + mergeOptions,
        arguments: [
            ArgumentSpecification(
                "CONFIG", count: .optional, help: "a training configuration", completion: .file)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let document = try arguments.argument("CONFIG").map { try ConfigFile.read($0) }
        let request = try request(arguments, document)
        let base = try AdapterBase(
            adapters: [request.adapter], option: arguments.baseForm, configuration: document)
        try merge(request, base, arguments)
    }

    /// Merges, or shows the plan of it.
    static func merge(
        _ request: MergeRequest, _ base: AdapterBase, _ arguments: ParsedArguments
    ) throws {
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let held = try base.form == .nf4 && ModelFolder.open(request.base, scores: true).isDense()
        var options = AdapterMerger.Options(
            dtype: ConversionOptions.type(arguments), roundTripsNF4: held,
            maxShardBytes: try ConversionOptions.shardBytes(arguments))
        options.doubleQuantization = base.doubleQuantization
        let merger = try AdapterMerger(
            base: request.base, adapter: request.adapter, output: request.output,
            options: options, backend: backend)
        if held == (base.form == .nf4), let sentence = base.mergeSentence, !arguments.flag("json") {
            TerminalOutput.standardError.writeLine(sentence)
        }
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(name: "merge", memory: merger.memory, disk: merger.byteCount),
            limit: limit, copying: request.base)
        let output: ConfigObject = [
            "output": ConfigNode(request.output), "bytes": ConfigNode(merger.byteCount),
            "nf4_round_trip": ConfigNode(held),
        ]
        if arguments.flag("dry-run") {
            watch.describe(
                output,
                "would merge \(request.adapter) into \(request.base): "
                    + "\(formatBytes(merger.byteCount)) in \(request.output)")
            return
        }
        let files = try watch.run("merging") { try merger.run($0) }
        watch.finish(
            output.adding("files", ConfigNode(files)),
            "merged \(request.adapter) into \(request.base): \(formatBytes(merger.byteCount)) in "
                + request.output)
    }

    private static func request(
        _ arguments: ParsedArguments, _ config: ConfigCursor?
    ) throws -> MergeRequest {
        guard let config else {
            return try MergeRequest(
                base: arguments.model("base"),
                adapter: arguments.adapter(at: arguments.required("adapter")),
                output: arguments.required("output"))
        }
        var request = try MergeRequest(config)
        request.base =
            try arguments.isGiven("base")
            ? arguments.model("base")
            : try ModelLocation(arguments).path(
                ModelSettings.dated(request.base, config))
        request.adapter = try arguments.adapter(
            at: arguments.string("adapter", default: request.adapter))
        request.output = arguments.string("output", default: request.output)
        return request
    }
}
