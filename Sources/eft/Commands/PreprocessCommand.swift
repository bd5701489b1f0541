// SPDX-License-Identifier: Apache-2.0
// eft preprocess: the data of a training run, tokenized and counted.
import EftCommandLine
import EftConfig
import EftTensor
import EftTraining

enum PreprocessCommand: Command {
    private static let noEffect = AxolotlOptions.launcher + AxolotlOptions.downloads

    static let specification = CommandSpecification(
        name: "preprocess",
        abstract: "Tokenize a training run's data and show what would be learned.",
        discussion:
            "Reads the YAML that Axolotl reads, its data and the tokenizer; the weights of the model need not be "
            + "there. Says how many rows became examples, how many tokens they have, and how many of them are "
            + "trained. Nothing is written: training tokenizes its data itself, in seconds.",
        examples: [
            Example("eft preprocess qlora.yml", "counts"),
            Example("eft preprocess qlora.yml --debug", "the first examples, token by token"),
            Example(
                "eft preprocess qlora.yml --debug-text-only --debug-num-examples 10",
                "ten examples, masked and trained text apart"),
        ],
        options: AxolotlOptions.debug + [
            AxolotlOptions.dryRun,
            OptionSpecification(
                "--prompter", kind: .value("WORD"),
                help: "no effect: the configuration's data set type decides"),
            CommonOptions.json,
        ] + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    static func run(_ arguments: ParsedArguments) throws {
        let config = try AxolotlOptions.config(arguments)
        let examples = try PreparedExamples(config, shouldStop: { InterruptFlag.isRaised })
        let listing = try ExampleListing(
            examples, arguments, always: arguments.flag("dry-run"))
        if arguments.flag("json") {
            JSONOutput.print(ConfigNode(try listing.node()))
            return
        }
        let reporter = ProgressReporter()
        for notice in examples.notices { reporter.note("note: \(notice)") }
        if let notice = IneffectiveOption.notice(noEffect, arguments) {
            reporter.note("note: \(notice)")
        }
        for line in try listing.counts + listing.lines() {
            TerminalOutput.standardOutput.writeLine(line)
        }
        if try config.document.optional("dataset_prepared_path") != nil {
            reporter.note(
                "note: nothing is written to dataset_prepared_path: training tokenizes its data itself"
            )
        }
    }
}
