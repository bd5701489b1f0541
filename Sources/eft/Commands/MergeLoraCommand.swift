// SPDX-License-Identifier: Apache-2.0
// eft merge-lora: axolotl's merge, from a training configuration.
import EftCommandLine
import EftConversion
import EftModels
import EftTraining

enum MergeLoraCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    private static let noEffect =
        AxolotlOptions.launcher + [
            IneffectiveOption(
                "--dequant", reason: "weights of any form are merged in 16 bits or f32"),
            IneffectiveOption(
                "--override-quantizer", value: "WORD",
                reason: "weights of any form are merged in 16 bits or f32"),
        ]

    static let specification = CommandSpecification(
        name: "merge-lora",
        abstract: "Merge the adapter of a training configuration into its base, as axolotl does.",
        discussion:
            "The base is base_model, the adapter that in output_dir or --lora-model-dir; the result goes to the "
            + "folder merged inside output_dir. eft merge takes any base and adapter.",
        examples: [
            Example("eft merge-lora qlora.yml", "to output_dir/merged"),
            Example(
                "eft merge-lora qlora.yml --lora-model-dir ./outputs/qlora/checkpoint-40",
                "a checkpoint of the run"),
        ],
        options: MergeCommand.mergeOptions + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    static func run(_ arguments: ParsedArguments) throws {
        let document = try AxolotlOptions.document(arguments)
        if let notice = IneffectiveOption.notice(noEffect, arguments), !arguments.flag("json") {
            TerminalOutput.standardError.writeLine("note: \(notice)")
        }
        var request = try MergeRequest(document)
        request.base = try ModelLocation(arguments).path(
            ModelSettings.dated(request.base, document))
        request.adapter = try arguments.adapter(at: request.adapter)
        let base = try AdapterBase(
            adapters: [request.adapter], option: arguments.baseForm, configuration: document)
        try MergeCommand.merge(request, base, arguments)
    }
}
