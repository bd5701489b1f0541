// SPDX-License-Identifier: Apache-2.0
// Manual pages made from the specifications.

/// A page of the manual, in the macros of man(7).
package struct ManualPage: Sendable {
    /// The file's name, such as `eft-run.1`.
    package let name: String
    /// The page.
    package let text: String

    /// All pages: one for the program, one for each verb.
    package static func all(of program: ProgramSpecification) -> [ManualPage] {
        let commands = program.commands.flatMap { [$0] + $0.subcommands }
        return [page(of: program, commands)] + commands.map { page(of: $0, program) }
    }

    // MARK: The program

    private static func page(
        of program: ProgramSpecification, _ commands: [CommandSpecification]
    ) -> ManualPage {
        var roff = Roff(title: program.name, program)
        roff.section("NAME", program.name + " \\- " + Roff.escaped(sentence(program.abstract)))
        roff.section("SYNOPSIS")
        roff.line(".B", program.name)
        roff.raw("\\fIVERB\\fR [\\fIoptions\\fR]")
        roff.section("VERBS")
        for command in commands {
            roff.entry("\\fB\(Roff.escaped(command.name))\\fR", command.abstract)
        }
        roff.section("DESCRIPTION")
        roff.paragraph(
            "Each verb has a page of its own, such as \(pageName(program, "run"))(1), and explains itself with --help."
        )
        roff.examples(program.examples)
        roff.section("EXIT STATUS")
        for status in ExitStatus.allCases {
            roff.entry("\\fB\(status.rawValue)\\fR", status.explanation)
        }
        if !program.environment.isEmpty {
            roff.section("ENVIRONMENT")
            for variable in program.environment {
                roff.entry("\\fB\(Roff.escaped(variable.name))\\fR", variable.text)
            }
        }
        if !program.files.isEmpty {
            roff.section("FILES")
            for file in program.files {
                roff.entry("\\fI\(Roff.escaped(file.name))\\fR", file.text)
            }
        }
        roff.seeAlso(commands.map { pageName(program, $0.name) })
        return ManualPage(name: "\(program.name).1", text: roff.text)
    }

    // MARK: A verb

    private static func page(
        of command: CommandSpecification, _ program: ProgramSpecification
    ) -> ManualPage {
        let name = pageName(program, command.name)
        var roff = Roff(title: name, program)
        roff.section("NAME", name + " \\- " + Roff.escaped(sentence(command.abstract)))
        roff.section("SYNOPSIS")
        roff.line(".B", "\(program.name) \(command.name)")
        roff.raw(Roff.escaped(String(command.synopsis.dropFirst(command.name.count + 1))))
        roff.section("DESCRIPTION")
        roff.paragraph(command.abstract)
        for part in command.discussion.split(separator: "\n") { roff.paragraph(String(part)) }
        if !command.arguments.isEmpty {
            roff.section("ARGUMENTS")
            for argument in command.arguments {
                roff.entry("\\fI\(Roff.escaped(argument.name))\\fR", argument.help)
            }
        }
        roff.section("OPTIONS")
        for option in command.options { roff.entry(Roff.names(of: option), option.explanation) }
        roff.entry("\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Show this help.")
        if case .passedThrough = command.unknownOptions {
            roff.entry(
                "\\fB\\-\\-\\fIKEY VALUE\\fR",
                "Set any other key; --no-KEY sets it to false.")
        }
        roff.examples(command.examples)
        let below = command.subcommands.map { pageName(program, $0.name) }
        let above = command.name.split(separator: " ").dropLast().map {
            pageName(program, String($0))
        }
        roff.seeAlso([program.name] + above + below)
        return ManualPage(name: "\(name).1", text: roff.text)
    }

    private static func pageName(_ program: ProgramSpecification, _ verb: String) -> String {
        "\(program.name)-\(verb.replacing(" ", with: "-"))"
    }

    /// A sentence as it stands behind a name: without its full stop.
    private static func sentence(_ text: String) -> String {
        text.hasSuffix(".") ? String(text.dropLast()) : text
    }
}

/// Text in the macros of man(7).
private struct Roff {
    private(set) var text: String
    /// Whether a section has just begun, in which no paragraph has to be ended.
    private var isFresh = false

    init(title: String, _ program: ProgramSpecification) {
        let version = "\(program.name) \(program.version)"
        text = ".TH \(title.uppercased()) 1 \"\(program.date)\" \"\(version)\" \"User commands\"\n"
    }

    mutating func section(_ title: String, _ body: String? = nil) {
        text += ".SH \(title)\n" + (body.map { $0 + "\n" } ?? "")
        isFresh = body == nil
    }

    mutating func line(_ macro: String, _ argument: String) {
        text += "\(macro) \(Self.quoted(argument))\n"
    }

    mutating func raw(_ line: String) { text += line + "\n" }

    mutating func paragraph(_ words: String) {
        if !isFresh { text += ".PP\n" }
        isFresh = false
        text += Self.escaped(words) + "\n"
    }

    /// A name, in roff, and its explanation.
    mutating func entry(_ name: String, _ explanation: String) {
        text += ".TP\n\(name)\n\(Self.escaped(explanation))\n"
    }

    mutating func examples(_ examples: [Example]) {
        guard !examples.isEmpty else { return }
        section("EXAMPLES")
        for example in examples {
            text += ".TP\n\\fB\(Self.escaped(example.command))\\fR\n"
            text += "\(Self.escaped(example.explanation))\n"
        }
    }

    mutating func seeAlso(_ pages: [String]) {
        section("SEE ALSO")
        for (place, page) in pages.enumerated() {
            text += ".BR \(Self.escaped(page)) (1)\(place == pages.count - 1 ? "" : ",")\n"
        }
    }

    /// The names of an option in bold, its value in italics.
    static func names(of option: OptionSpecification) -> String {
        let value = option.valueName ?? ""
        let names =
            value.isEmpty ? option.synopsis : String(option.synopsis.dropLast(value.count + 1))
        let bold = names.split(separator: ", ").map { "\\fB\(escaped(String($0)))\\fR" }
            .joined(separator: ", ")
        return value.isEmpty ? bold : "\(bold) \\fI\(escaped(value))\\fR"
    }

    /// Text in which nothing is a request, an escape or a hyphen where a minus is meant.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "'": result += "\\(aq"
            case "\"": result += "\\(dq"
            case "`": result += "\\(ga"
            case "~": result += "\\(ti"
            case "^": result += "\\(ha"
            case "\n": result += " "
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") ? "\\&" + result : result
    }

    private static func quoted(_ text: String) -> String { "\"\(escaped(text))\"" }
}
