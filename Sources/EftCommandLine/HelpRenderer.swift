// SPDX-License-Identifier: Apache-2.0
// Help texts made from the specifications.

/// Renders help for a terminal of a given width.
package struct HelpRenderer: Sendable {
    /// Entries whose name is wider put their text on the next line.
    private static let widestName = 26
    /// On terminals narrower than this, texts always stand below names.
    private static let leastForTwoColumns = 60

    private let program: ProgramSpecification
    private let width: Int
    private let hasColor: Bool

    /// Makes a renderer.
    /// - Parameters:
    ///   - width: columns of the terminal; lines are between 24 and 100 columns wide.
    ///   - hasColor: whether headings and names are marked by escape sequences.
    package init(_ program: ProgramSpecification, width: Int = 80, hasColor: Bool = false) {
        self.program = program
        self.width = min(max(width, 24), 100)
        self.hasColor = hasColor
    }

    /// Makes a renderer for an output.
    package init(_ program: ProgramSpecification, for output: TerminalOutput) {
        self.init(program, width: output.wrapWidth ?? 80, hasColor: output.hasColor)
    }

    // MARK: The program

    /// The help of the whole program.
    package func programHelp() -> String {
        let name = program.name
        var text = paragraph("\(name): \(program.abstract)")
        text += "\n" + paragraph("Usage: \(name) VERB [options]")
        text += heading("Verbs")
        text += entries(program.commands.map { ($0.name, $0.abstract) })
        text += examples(program.examples)
        text += "\n"
        text += paragraph("'\(name) VERB --help' explains a verb.")
        text += paragraph(
            "'\(name) completion bash|zsh|fish' prints a completion script for the shell.")
        return text
    }

    // MARK: A verb

    /// The help of a verb.
    package func commandHelp(_ command: CommandSpecification) -> String {
        var text = usage(command) + "\n" + paragraph(command.abstract)
        for part in command.discussion.split(separator: "\n") {
            text += "\n" + paragraph(String(part))
        }
        if !command.arguments.isEmpty {
            text += heading("Arguments") + entries(command.arguments.map { ($0.name, $0.help) })
        }
        if !command.subcommands.isEmpty {
            let below = command.subcommands.map {
                (String($0.name.dropFirst(command.name.count + 1)), $0.abstract)
            }
            text += heading("Verbs below, with options of their own") + entries(below)
        }
        let options = command.options.map { ($0.synopsis, $0.explanation) }
        text += heading("Options") + entries(options + [("-h, --help", "Show this help.")])
        if case .passedThrough = command.unknownOptions {
            text += entries([("--KEY VALUE", "Set any other key; --no-KEY sets it to false.")])
        }
        return text + examples(command.examples)
    }

    private func usage(_ command: CommandSpecification) -> String {
        paragraph("Usage: \(program.name) \(command.synopsis)", hanging: 7)
    }

    // MARK: Layout

    private func heading(_ text: String) -> String { "\n" + styled("\(text):", .bold) + "\n" }

    private func styled(_ text: String, _ style: TerminalStyle) -> String {
        hasColor ? style.applied(to: text) : text
    }

    private func examples(_ examples: [Example]) -> String {
        guard !examples.isEmpty else { return "" }
        var text = heading("Examples")
        for example in examples {
            text += command(example.command) + paragraph(example.explanation, indentation: 6)
        }
        return text
    }

    /// A command line; where it is too long it goes on behind a backslash, so that it can be copied.
    private func command(_ text: String) -> String {
        if displayWidth(text) + 2 <= width { return "  " + styled(text, .cyan) + "\n" }
        let lines = wrapped(text, toWidth: width - 2, indentation: 2, hanging: 2)
        return lines.enumerated().map { place, line in
            styled(place == lines.count - 1 ? line : line + " \\", .cyan) + "\n"
        }.joined()
    }

    /// Names in one column, texts wrapped in the next; on narrow terminals below the names.
    private func entries(_ entries: [(name: String, text: String)]) -> String {
        let widths = entries.map { displayWidth($0.name) }.filter { $0 <= Self.widestName }
        let hasTwoColumns = width >= Self.leastForTwoColumns
        let column =
            hasTwoColumns ? 2 + min(max(widths.max() ?? 0, 8), Self.widestName) + 2 : 6
        var result = ""
        for (name, text) in entries {
            let size = displayWidth(name) + 2
            if hasTwoColumns, size + 2 <= column {
                let space = String(repeating: " ", count: column - size)
                let lines = paragraph(text, indentation: column).dropFirst(column)
                result += "  \(styled(name, .bold))\(space)\(lines)"
            } else {
                for line in wrapped(name, toWidth: width, indentation: 2, hanging: 2) {
                    result += styled(line, .bold) + "\n"
                }
                result += paragraph(text, indentation: column)
            }
        }
        return result
    }

    /// A paragraph broken at spaces, each line indented and ended by a newline.
    private func paragraph(_ text: String, indentation: Int = 0, hanging: Int = 0) -> String {
        wrapped(text, toWidth: width, indentation: indentation, hanging: hanging)
            .map { $0 + "\n" }.joined()
    }
}

extension OptionSpecification {
    /// All names with the name of the value, such as `-b, --bits N`.
    var synopsis: String {
        let names = names.map { name in
            kind == .invertibleFlag && name.hasPrefix("--")
                ? "--[no-]\(name.dropFirst(2))" : name
        }
        // Short names first, so that they line up.
        let sorted = names.filter { !$0.hasPrefix("--") } + names.filter { $0.hasPrefix("--") }
        return sorted.joined(separator: ", ") + (valueName.map { " \($0)" } ?? "")
    }

    /// What it does, its values and its default.
    var explanation: String {
        var notes: [String] = []
        if !choices.isEmpty { notes.append("one of " + choices.joined(separator: ", ")) }
        if case .repeated = kind { notes.append("may be repeated") }
        if isRequired { notes.append("required") }
        if let text = defaultText { notes.append("default: \(text)") }
        return notes.isEmpty ? help : "\(help) (\(notes.joined(separator: "; ")))"
    }
}

extension CommandSpecification {
    /// The verb with its arguments, the options that must be given, and `[options]`.
    var synopsis: String {
        var words = [name]
        for argument in arguments {
            switch argument.count {
            case .one: words.append(argument.name)
            case .optional: words.append("[\(argument.name)]")
            case .any: words.append("[\(argument.name)]...")
            }
        }
        for option in options where option.isRequired {
            words.append("\(option.names[0]) \(option.valueName ?? "")")
        }
        words.append("[options]")
        return words.joined(separator: " ")
    }
}
