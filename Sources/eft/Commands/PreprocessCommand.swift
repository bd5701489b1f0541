// SPDX-License-Identifier: Apache-2.0
// eft preprocess: the data of a training run, tokenized, counted and kept.
import EftCommandLine
import EftConfig
import EftPlanning
import EftTensor
import EftTraining

enum PreprocessCommand: Command {
    private static let noEffect = AxolotlOptions.launcher + AxolotlOptions.downloads

    static let specification = CommandSpecification(
        name: "preprocess",
        abstract: "Tokenize a training run's data, keep it, and show what would be learned.",
        discussion:
            "Reads the YAML that Axolotl reads, its data and the tokenizer; the weights of the model need not be "
            + "there. Says how many rows became examples, how many tokens they have, and how many of them are "
            + "trained. The result is kept in dataset_prepared_path (last_run_prepared when the configuration names "
            + "none), where 'eft train' takes it from while data, tokenizer and settings stay the same. Tokens are held in "
            + "memory, 8 bytes each, until all are read; data that would pass --memory ends with an error.",
        examples: [
            Example("eft preprocess qlora.yml", "counts"),
            Example("eft preprocess qlora.yml --debug", "the first examples, token by token"),
            Example(
                "eft preprocess qlora.yml --debug-text-only --debug-num-examples 10",
                "ten examples, masked and trained text apart"),
        ],
        options: [CommonOptions.memory] + AxolotlOptions.debug + [
            AxolotlOptions.dryRun,
            OptionSpecification(
                "--prompter", kind: .value("WORD"),
                help: "no effect: the configuration's data set type decides"),
            CommonOptions.json,
        ] + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    static func run(_ arguments: ParsedArguments) throws {
        var config = try AxolotlOptions.config(arguments)
        let isNamed = config.data.preparedPath != nil
        if !isNamed { config.data.preparedPath = DataSettings.usualPreparedPath }
        config.data.memoryLimit = try CommonOptions.limit(arguments)
        let examples = try PreparedExamples(config, shouldStop: { InterruptFlag.isRaised })
        let listing = try ExampleListing(
            examples, arguments, always: arguments.flag("dry-run"))
        let written = arguments.flag("dry-run") ? nil : try examples.keep()
        if arguments.flag("json") {
            var object = try listing.node()
            if let written { object["prepared"] = ConfigNode(written) }
            object["memory_limit"] = ConfigNode(config.data.memoryLimit)
            object["peak_memory_measured"] = ConfigNode(ProcessMemory.peakResident)
            JSONOutput.print(ConfigNode(object))
            return
        }
        let reporter = ProgressReporter()
        for notice in examples.notices { reporter.note("note: \(notice)") }
        if let notice = IneffectiveOption.notice(noEffect, arguments) {
            reporter.note("note: \(notice)")
        }
        for line in try listing.counts + listing.lines(on: .standardOutput) {
            TerminalOutput.standardOutput.writeLine(line)
        }
        reporter.note(
            "peak memory \(formatBytes(ProcessMemory.peakResident)) of \(formatBytes(config.data.memoryLimit))"
        )
        guard let written else { return }
        let use =
            isNamed
            ? "'eft train' uses it"
            : "'eft train' uses it with dataset_prepared_path: \(DataSettings.usualPreparedPath)"
        reporter.note("prepared data is written: \(written); \(use)")
    }
}
