// SPDX-License-Identifier: Apache-2.0
// eft rm: models and data sets away from this machine.
import EftCommandLine
import EftConfig
import EftHub
import EftTensor

enum RemoveCommand: Command {
    static let specification = CommandSpecification(
        name: "rm",
        abstract: "Remove models, data sets, or what was made of them, from this machine.",
        discussion:
            "Takes names as 'eft list' shows them. A name without a revision or a type removes all that there is of "
            + "it, also the beginning of a download. Folders that you have made yourself are never removed.",
        examples: [
            Example("eft rm org/model", "a model with all its revisions and files"),
            Example("eft rm org/model:Q4_K_M", "one GGUF file of it"),
        ],
        options: [
            OptionSpecification("--dry-run", help: "say what would be removed, and remove nothing"),
            CommonOptions.cacheFolder, CommonOptions.json,
        ],
        arguments: [
            ArgumentSpecification("NAME", count: .any, help: "as 'eft list' shows it")
        ])

    static func run(_ arguments: ParsedArguments) throws {
        _ = try arguments.requiredArgument("NAME")
        let items = try LocalItem.all(arguments)
        // All names are looked up before anything is removed.
        let chosen = try arguments.arguments("NAME").map { ($0, try find($0, items)) }
        let isDry = arguments.flag("dry-run")
        var rows: [ConfigNode] = []
        for (name, found) in chosen {
            let bytes =
                try isDry
                ? found.reduce(0) { $0 + $1.byteCount } : LocalItem.remove(found, named: name)
            if !arguments.flag("json") {
                let verb = isDry ? "would remove" : "removed"
                TerminalOutput.standardOutput.writeLine("\(verb) \(name): \(formatBytes(bytes))")
            }
            rows.append(["name": ConfigNode(name), "bytes": ConfigNode(bytes)])
        }
        if arguments.flag("json") {
            JSONOutput.print([
                "removed": ConfigNode(.array(rows)), "dry_run": ConfigNode(.bool(isDry)),
            ])
        }
    }

    private static func find(_ name: String, _ items: [LocalItem]) throws -> [LocalItem] {
        let found = items.filter { $0.isMeant(by: name) }
        guard found.isEmpty else { return found }
        let near = closestMatch(name, in: items.map(\.name)).map { "; did you mean '\($0)'?" }
        throw UsageError(
            "there is no '\(excerpt(name))' here\(near ?? "; 'eft list' shows what there is")",
            command: specification.name)
    }
}
