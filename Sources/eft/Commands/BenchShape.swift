// SPDX-License-Identifier: Apache-2.0
// eft bench shape: a model folder of a known shape with random weights.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftFormats
import EftTensor

enum BenchShape {
    static func run(_ arguments: ParsedArguments, _ names: [String]) throws {
        let shapes = NamedShape.all
        let known = shapes.map(\.name)
        guard names.count == 1, let shape = shapes.first(where: { $0.name == names[0] }) else {
            throw UsageError(
                "name one shape: 'eft bench shape NAME -o DIR', with \(known.joined(separator: ", "))"
            )
        }
        let output = try arguments.required("output")
        let layers = try arguments.int("layers", in: BenchCommand.layerRange)
        var writer = try ShapeWriter(shape, layers: layers, format: try format(arguments))
        writer.namesAllIDs = true
        // A run that was killed while it moved its files up has left a config.json and is to be finished.
        guard
            !FileSystem.exists(FileSystem.join(output, "config.json"))
                || UnfinishedFolder.exists(in: output)
        else {
            throw UsageError("there is a model in \(output) already; give another folder for -o")
        }
        let progress = CommonOptions.progress(arguments)
        let note = { (text: String) in progress.note(text) }
        let shardBytes = try ConversionOptions.shardBytes(arguments)
        try writer.write(to: output, maxShardBytes: shardBytes, note: note) { done, total in
            guard !InterruptFlag.isRaised else {
                progress.finish()
                throw Interruption(
                    description: "interrupted; run it again with the same arguments to go on after "
                        + "the last finished weight file")
            }
            let share = Double(done) / Double(max(total, 1))
            progress.update(
                "writing", share: share, "\(formatBytes(done)) of \(formatBytes(total))")
        }
        progress.clear()
        if arguments.flag("json") {
            JSONOutput.print([
                "shape": ConfigNode(shape.name), "bytes": ConfigNode(writer.byteCount),
                "bits_per_weight": ConfigNode(writer.bitsPerWeight),
            ])
        } else {
            TerminalOutput.standardOutput.writeLine(
                "\(output): \(shape.name), \(formatBytes(writer.byteCount)), "
                    + "\(formatFixed(writer.bitsPerWeight, decimals: 3)) bits a weight")
        }
    }

    private static func format(_ arguments: ParsedArguments) throws -> ShapeWriter.Format {
        switch arguments.string("format", default: "exl2") {
        case "nf4": .nf4
        case "bf16": .bf16
        default: .exl2(bits: try arguments.double("bits", default: 4, in: 2...8))
        }
    }
}
