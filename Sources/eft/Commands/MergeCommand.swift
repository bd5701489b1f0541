// SPDX-License-Identifier: Apache-2.0
// eft merge: a base and an adapter to one 16-bit folder.
import EftCommandLine
import EftConfig
import EftConversion
import EftPlanning
import EftTensor

enum MergeCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    static let specification = CommandSpecification(
        name: "merge", aliases: ["merge-lora"],
        abstract: "Merge a PEFT adapter into its base model.",
        discussion:
            "One tensor at a time: memory is set by the largest one, not by the model. A merge is a choice: "
            + "run takes base and adapter as they are. What training held in NF4 is first brought to the "
            + "values that training saw; a training configuration beside the adapter tells whether it did. "
            + "A run that was stopped goes on after the last finished weight file when it is started again "
            + "with the same arguments.",
        examples: [
            Example("eft merge --base ./llama --adapter ./outputs/qlora -o ./merged", "folders"),
            Example(
                "eft merge qlora.yml", "as the training configuration says, to output_dir/merged"),
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
            OptionSpecification(
                "--load-in-4bit", kind: .invertibleFlag,
                help: "whether training held the base in NF4",
                defaultText: "as the training configuration says, else no"),
            ConversionOptions.dtype, ConversionOptions.shard, CommonOptions.memory,
            CommonOptions.threads, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification(
                "CONFIG", count: .optional, help: "a training configuration", completion: .file)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let request = try request(arguments)
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let held = arguments.flag("load-in-4bit", default: request.heldInNF4)
        let merger = try AdapterMerger(
            base: request.base, adapter: request.adapter, output: request.output,
            options: AdapterMerger.Options(
                dtype: ConversionOptions.type(arguments), roundTripsNF4: held,
                maxShardBytes: ConversionOptions.shardBytes(arguments)),
            backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(name: "merge", memory: merger.memory, disk: merger.byteCount),
            limit: limit)
        let files = try watch.run("merging") { try merger.run($0) }
        watch.finish(
            [
                "output": ConfigNode(request.output), "bytes": ConfigNode(merger.byteCount),
                "nf4_round_trip": ConfigNode(held), "files": ConfigNode(files),
            ],
            "merged \(request.adapter) into \(request.base): \(formatBytes(merger.byteCount)) in "
                + request.output)
    }

    private static func request(_ arguments: ParsedArguments) throws -> MergeRequest {
        guard let config = arguments.argument("CONFIG") else {
            return try MergeRequest(
                base: arguments.model("base"), adapter: arguments.required("adapter"),
                output: arguments.required("output"))
        }
        var request = try MergeRequest(config: config)
        request.base =
            try arguments.isGiven("base")
            ? arguments.model("base")
            : ModelLocation(arguments).find(request.base) ?? request.base
        request.adapter = arguments.string("adapter", default: request.adapter)
        request.output = arguments.string("output", default: request.output)
        return request
    }
}
