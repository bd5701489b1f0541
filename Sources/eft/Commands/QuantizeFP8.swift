// SPDX-License-Identifier: Apache-2.0
// eft quantize --format fp8: rounding to 8-bit floating point, which needs no calibration.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor

extension QuantizeCommand {
    /// Options that rounding alone has a use for.
    private static let fp8Options: Set<String> = [
        "format", "in-dir", "out-dir", "group-size", "shard-size", "dry-run", "memory", "threads",
        "json",
    ]

    /// Writes an FP8 folder to -o.
    /// - Throws: `UsageError` for options of the forms that are calibrated.
    static func writeFP8(_ arguments: ParsedArguments) throws {
        let names = specification.options.compactMap { option in
            option.names.last.map { String($0.drop { $0 == "-" }) }
        }
        for option in names
        where arguments.isGiven(option) && !fp8Options.contains(option) {
            throw arguments.error(
                option,
                "is not for --format fp8, which rounds without calibration: -i is read, -o is the folder to write"
            )
        }
        let limit = try CommonOptions.limit(arguments)
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let output = try arguments.required("out-dir")
        let shard = try arguments.int("shard-size", default: 0, in: 0...(1 << 30))
        let block = try arguments.int("group-size", default: 128, in: 32...128)
        let folder = try ModelFolder.open(arguments.model("in-dir"), scores: true)
        let converter = try FP8Converter(
            folder, output: output, block: block,
            maxShardBytes: shard == 0 ? SafetensorsWriter.defaultShardBytes : shard << 20,
            backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "quantize to FP8",
                memory: FP8Converter.memory(folder.description, block: block),
                disk: converter.byteCount), limit: limit, copying: folder.path)
        if converter.partialBlocks > 0, !arguments.flag("json") {
            TerminalOutput.standardError.writeLine(
                "note: \(block) does not divide the extents of \(converter.partialBlocks) layers; transformers unpacks "
                    + "their weights on GPUs only, and --group-size 64 or 32 may divide them")
        }
        let object: ConfigObject = [
            "output": ConfigNode(output), "tensors": ConfigNode(converter.tensorCount),
            "bytes": ConfigNode(converter.byteCount),
        ]
        let what =
            "\(converter.tensorCount) tensors, \(formatBytes(converter.byteCount)), to \(output)"
        if arguments.flag("dry-run") {
            watch.describe(object, "would write \(what)")
            return
        }
        let files = try watch.run("quantizing") { try converter.run($0) }
        watch.finish(object.adding("files", ConfigNode(files)), "wrote \(what)")
    }
}
