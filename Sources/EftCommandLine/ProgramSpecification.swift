// SPDX-License-Identifier: Apache-2.0
// The program: its verbs, and what a command line asks of it.

import EftConfig

/// What a command line asks for.
package enum Invocation: Sendable {
    /// The list of verbs.
    case programHelp
    /// The help of a verb.
    case commandHelp(CommandSpecification)
    /// The version, perhaps with the machine.
    case version(isVerbose: Bool)
    /// A completion script.
    case completionScript(Shell)
    /// Manual pages, to be written to a folder.
    case manualPages(folder: String)
    /// A verb.
    case run(CommandSpecification, ParsedArguments)
}

/// A program made of verbs.
package struct ProgramSpecification: Sendable {
    /// The program's name, as typed.
    package let name: String
    /// The version, without the name.
    package let version: String
    /// What it is, in one line.
    package let abstract: String
    /// Its verbs, in the order of the help.
    package let commands: [CommandSpecification]
    /// Command lines that show its use.
    package let examples: [Example]
    /// When this version was made, for the manual: year, month, day.
    package let date: String
    /// Variables of the environment that it reads, for the manual.
    package let environment: [(name: String, text: String)]
    /// Files that it reads and writes by itself, for the manual.
    package let files: [(name: String, text: String)]

    /// Makes a program.
    package init(
        name: String, version: String, abstract: String, commands: [CommandSpecification],
        examples: [Example] = [], date: String = "",
        environment: [(name: String, text: String)] = [],
        files: [(name: String, text: String)] = []
    ) {
        self.name = name
        self.version = version
        self.abstract = abstract
        self.commands = commands
        self.examples = examples
        self.date = date
        self.environment = environment
        self.files = files
    }

    /// The verb of this name or alias; underscores count as dashes.
    package func command(named name: String) -> CommandSpecification? {
        let name = name.replacing("_", with: "-")
        return commands.first { $0.name == name || $0.aliases.contains(name) }
    }

    /// Reads a command line, the program's own name left out.
    ///
    /// Besides the verbs there are `help [VERB [VERB BELOW]]`, `--help`, `--version [--verbose]`, `completion SHELL` and
    /// `completion man DIR`.
    /// - Throws: `UsageError`.
    package func resolve(_ words: [String]) throws(UsageError) -> Invocation {
        guard let first = words.first else { return .programHelp }
        switch first {
        case "--help", "-h": return .programHelp
        case "--version", "version": return try version(words.dropFirst())
        case "help":
            guard words.count > 1 else { return .programHelp }
            return .commandHelp(try verb(words[1...]).command)
        case "completion" where command(named: first) == nil:
            return try completion(Array(words.dropFirst()))
        default: break
        }
        guard !first.hasPrefix("-") else {
            throw UsageError("the verb comes first, then its options; found '\(excerpt(first))'")
        }
        let (command, rest) = try verb(words[...])
        let parsed = try ArgumentParser.parse(Array(rest), for: command)
        return parsed.isHelpRequested ? .commandHelp(command) : .run(command, parsed)
    }

    /// The verb that the first words name, or the one below it, and the words behind.
    private func verb(
        _ words: ArraySlice<String>
    ) throws(UsageError) -> (command: CommandSpecification, rest: ArraySlice<String>) {
        let name = words.first ?? ""
        let rest = words.dropFirst()
        if let command = command(named: name) {
            if let word = rest.first, let sub = command.subcommand(named: word) {
                return (sub, rest.dropFirst())
            }
            return (command, rest)
        }
        let near = closestMatch(name, in: commands.flatMap { [$0.name] + $0.aliases })
        let hint = near.map { "did you mean '\($0)'?" } ?? "'\(self.name) --help' lists the verbs"
        throw UsageError("unknown verb '\(excerpt(name))'; \(hint)")
    }

    private func version(_ words: ArraySlice<String>) throws(UsageError) -> Invocation {
        for word in words where !["--verbose", "-v"].contains(word) {
            throw UsageError("'\(name) --version' takes only --verbose; found '\(excerpt(word))'")
        }
        return .version(isVerbose: !words.isEmpty)
    }

    private func completion(_ words: [String]) throws(UsageError) -> Invocation {
        let names = Shell.allCases.map(\.rawValue).joined(separator: ", ")
        if words.first == "man" {
            guard words.count == 2, !words[1].hasPrefix("-") else {
                throw UsageError("'\(name) completion man DIR' writes manual pages to a folder")
            }
            return .manualPages(folder: words[1])
        }
        guard words.count == 1, let shell = Shell(rawValue: words[0]) else {
            if words == ["--help"] || words == ["-h"] { return .programHelp }
            throw UsageError("'\(name) completion' takes the name of a shell: \(names)")
        }
        return .completionScript(shell)
    }
}
