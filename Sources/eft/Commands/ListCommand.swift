// SPDX-License-Identifier: Apache-2.0
// eft list: the models and data sets on this machine.
import EftCommandLine
import EftConfig
import EftTensor

enum ListCommand: Command {
    static let specification = CommandSpecification(
        name: "list",
        abstract: "List the models and data sets on this machine, and what was made of them.",
        discussion:
            "What stands in the cache of Hugging Face goes by its name on the hub. What Eft has made itself, such as "
            + "bases in NF4 and layers in the form in which they are streamed, stands below it; all of that is made "
            + "again when it is missing.",
        examples: [
            Example("eft list", "everything"),
            Example("eft list qwen", "what has a word in its name"),
        ],
        options: [CommonOptions.cacheFolder, CommonOptions.json],
        arguments: [
            ArgumentSpecification(
                "WORD", count: .optional, help: "only what has this in its name")
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let word = arguments.argument("WORD")?.lowercased() ?? ""
        let items = try LocalItem.all(arguments).filter {
            word.isEmpty || $0.name.lowercased().contains(word)
        }
        if arguments.flag("json") {
            JSONOutput.print(["items": ConfigNode(.array(items.map(\.node)))])
            return
        }
        guard !items.isEmpty else {
            TerminalOutput.standardOutput.writeLine(
                word.isEmpty
                    ? "nothing is here yet; eft pull OWNER/NAME fetches a model"
                    : "nothing has '\(excerpt(word))' in its name")
            return
        }
        var table = TableRenderer([
            .init("name"), .init("size", .right), .init("form"), .init("last used", .right),
            .init("where"),
        ])
        for item in items {
            table.add([
                item.name, formatBytes(item.byteCount), item.form, item.age(now: LocalItem.now),
                item.place,
            ])
        }
        TerminalOutput.standardOutput.write(table)
    }
}
