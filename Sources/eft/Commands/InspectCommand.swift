// SPDX-License-Identifier: Apache-2.0
// eft inspect: what is in a model's or adapter's folder.
import EftCommandLine
import EftConfig
import EftFormats
import EftHub
import EftModels
import EftTensor

enum InspectCommand: Command {
    static let specification = CommandSpecification(
        name: "inspect",
        abstract: "List architecture, tensors, formats, bits per weight and sizes.",
        examples: [
            Example("eft inspect ./model", "a summary and the tensors of each kind"),
            Example("eft inspect ./model --tensors", "every tensor"),
        ],
        options: [
            OptionSpecification("--tensors", help: "list every tensor"), CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification(
                "DIR",
                help:
                    "a folder, a weight file, or a name on the hub, of which only tables are fetched",
                completion: .folder)
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let skeleton = try (arguments.source as? HubModels)?.skeleton(
            arguments.requiredArgument("DIR"))
        let tables = skeleton.flatMap { $0.hasTables ? $0.path : nil }
        let path = if let tables { tables } else { try arguments.modelArgument("DIR") }
        defer { withExtendedLifetime(skeleton) {} }
        let inspection = try CommonOptions.progress(arguments).during("reading \(path)") {
            try Inspection(path)
        }
        if arguments.flag("json") {
            JSONOutput.print(inspection.node(tensors: arguments.flag("tensors")))
            return
        }
        let output = TerminalOutput.standardOutput
        for line in inspection.summary { output.writeWrapped(line, hanging: 2) }
        if arguments.flag("tensors") {
            var table = TableRenderer([
                .init("tensor"), .init("type"), .init("shape"), .init("bytes", .right),
            ])
            for tensor in inspection.checkpoint.tensors {
                table.add([
                    tensor.name, tensor.dtype.rawValue, tensor.shape.description,
                    formatBytes(tensor.byteCount),
                ])
            }
            output.write(table)
        } else if !inspection.modules.isEmpty {
            var table = TableRenderer([
                .init("weights"), .init("format"), .init("count", .right),
                .init("parameters", .right),
                .init("stored", .right), .init("bits/weight", .right), .init("in memory", .right),
            ])
            for row in inspection.moduleRows { table.add(row) }
            output.write(table)
        }
    }
}
