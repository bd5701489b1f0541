// SPDX-License-Identifier: Apache-2.0
// eft pull: models and data sets from the hub to this machine.
import EftCommandLine
import EftConfig
import EftHub
import EftTensor

enum PullCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    static let dataset = OptionSpecification(
        "--dataset", help: "the names are those of data sets, and not of models")

    static let specification = CommandSpecification(
        name: "pull",
        abstract: "Fetch models or data sets from the Hugging Face hub.",
        discussion:
            "Only the files that are needed come: configuration, tokenizer and weights in one form. They are kept in "
            + "the cache of Hugging Face's own tools, which use them too. What is there already is not fetched again, "
            + "and a download that was stopped goes on where it was. All verbs that take a model's folder take its "
            + "name, too, and fetch it when it is not there; pull also brings what the hub has now.",
        examples: [
            Example("eft pull HuggingFaceTB/SmolLM2-135M-Instruct", "a model's folder"),
            Example(
                "eft pull unsloth/Qwen3-4B-GGUF:Q4_K_M", "a GGUF file, by the type of its weights"),
            Example("eft pull org/model@v1.0", "a branch, a tag or a commit"),
            Example("eft pull --dataset tatsu-lab/alpaca", "a data set"),
        ],
        options: [dataset, CommonOptions.json],
        arguments: [
            ArgumentSpecification("NAME", count: .any, help: "as on the hub: OWNER/NAME")
        ])

    /// The names, one at least.
    private static func required(_ arguments: ParsedArguments) throws(UsageError) -> [String] {
        _ = try arguments.requiredArgument("NAME")
        return arguments.arguments("NAME")
    }

    static func run(_ arguments: ParsedArguments) throws {
        let reporter = CommonOptions.progress(arguments)
        let hub = HubModels(arguments, reporter: reporter)
        var rows: [ConfigNode] = []
        for text in try required(arguments) {
            let isDataset = arguments.flag("dataset")
            let kind: HubRepository.Kind = isDataset ? .dataset : .model
            guard let name = HubName(text, kind: kind, mayLackOwner: isDataset) else {
                throw UsageError(
                    "'\(excerpt(text))' is no name on the hub; names are OWNER/NAME, OWNER/NAME@REVISION or "
                        + "OWNER/NAME:Q4_K_M", command: specification.name)
            }
            let found =
                try isDataset
                ? HubDatasets.fetchAll(name, hub.fetcher) : hub.fetcher.fetchModel(name)
            reporter.clear()
            let came =
                found.fetchedBytes == 0
                ? "all of it was here" : "\(formatBytes(found.fetchedBytes)) fetched"
            if !arguments.flag("json") {
                TerminalOutput.standardOutput.writeLine(
                    "\(name): \(formatBytes(found.byteCount)), \(came)\n  \(found.path)")
            }
            rows.append([
                "name": ConfigNode(name.description), "commit": ConfigNode(found.commit),
                "path": ConfigNode(found.path), "bytes": ConfigNode(found.byteCount),
                "fetched_bytes": ConfigNode(found.fetchedBytes),
            ])
        }
        if arguments.flag("json") { JSONOutput.print(["pulled": ConfigNode(.array(rows))]) }
    }
}
