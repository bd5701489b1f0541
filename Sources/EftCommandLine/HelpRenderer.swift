// SPDX-License-Identifier: Apache-2.0
// Help texts made from the specifications.

/// Renders help for a terminal of a given width.
package struct HelpRenderer: Sendable {
    /// Entries whose name is wider put their text on the next line.
    private static let widestName = 26

    private let program: ProgramSpecification
    private let width: Int

    /// Makes a renderer.
    /// - Parameter width: columns of the terminal; lines are between 60 and 100 columns wide.
    package init(_ program: ProgramSpecification, width: Int = 80) {
        self.program = program
        self.width = min(max(width, 60), 100)
    }

    // MARK: The program

    /// The help of the whole program.
    package func programHelp() -> String {
        let name = program.name
        var text = wrapped("\(name): \(program.abstract)", indentation: 0)
        text += "\nUsage: \(name) VERB [options]\n"
        text += "\nVerbs:\n" + entries(program.commands.map { ($0.name, $0.abstract) })
        text += examples(program.examples)
        text += "\n"
        text += wrapped("'\(name) VERB --help' explains a verb.", indentation: 0)
        text += wrapped(
            "'\(name) completion bash|zsh|fish' prints a completion script for the shell.",
            indentation: 0)
        return text
    }

    // MARK: A verb

    /// The help of a verb.
    package func commandHelp(_ command: CommandSpecification) -> String {
        var text = usage(command) + "\n" + wrapped(command.abstract, indentation: 0)
        for paragraph in command.discussion.split(separator: "\n") {
            text += "\n" + wrapped(String(paragraph), indentation: 0)
        }
        if !command.arguments.isEmpty {
            text += "\nArguments:\n" + entries(command.arguments.map { ($0.name, $0.help) })
        }
        if !command.subcommands.isEmpty {
            let below = command.subcommands.map {
                (String($0.name.dropFirst(command.name.count + 1)), $0.abstract)
            }
            text += "\nVerbs below, with options of their own:\n" + entries(below)
        }
        let options = command.options.map { (names(of: $0), explanation(of: $0)) }
        text += "\nOptions:\n" + entries(options + [("-h, --help", "Show this help.")])
        if case .passedThrough = command.unknownOptions {
            text += entries([("--KEY VALUE", "Set any other key; --no-KEY sets it to false.")])
        }
        return text + examples(command.examples)
    }

    private func usage(_ command: CommandSpecification) -> String {
        var words = ["\(program.name) \(command.name)"]
        for argument in command.arguments {
            switch argument.count {
            case .one: words.append(argument.name)
            case .optional: words.append("[\(argument.name)]")
            case .any: words.append("[\(argument.name)]...")
            }
        }
        for option in command.options where option.isRequired {
            words.append("\(option.names[0]) \(option.valueName ?? "")")
        }
        words.append("[options]")
        return wrapped("Usage: " + words.joined(separator: " "), indentation: 0, hanging: 7)
    }

    private func names(of option: OptionSpecification) -> String {
        let names = option.names.map { name in
            option.kind == .invertibleFlag && name.hasPrefix("--")
                ? "--[no-]\(name.dropFirst(2))" : name
        }
        // Short names first, so that they line up.
        let sorted = names.filter { !$0.hasPrefix("--") } + names.filter { $0.hasPrefix("--") }
        return sorted.joined(separator: ", ") + (option.valueName.map { " \($0)" } ?? "")
    }

    private func explanation(of option: OptionSpecification) -> String {
        var notes: [String] = []
        if !option.choices.isEmpty {
            notes.append("one of " + option.choices.joined(separator: ", "))
        }
        if case .repeated = option.kind { notes.append("may be repeated") }
        if option.isRequired { notes.append("required") }
        if let text = option.defaultText { notes.append("default: \(text)") }
        return notes.isEmpty ? option.help : "\(option.help) (\(notes.joined(separator: "; ")))"
    }

    // MARK: Layout

    private func examples(_ examples: [Example]) -> String {
        guard !examples.isEmpty else { return "" }
        var text = "\nExamples:\n"
        for example in examples {
            text += "  \(example.command)\n" + wrapped(example.explanation, indentation: 6)
        }
        return text
    }

    /// Names in one column, texts wrapped in the next.
    private func entries(_ entries: [(name: String, text: String)]) -> String {
        let widths = entries.map { displayWidth($0.name) }.filter { $0 <= Self.widestName }
        let column = 2 + min(max(widths.max() ?? 0, 8), Self.widestName) + 2
        var result = ""
        for (name, text) in entries {
            let lines = wrapped(text, indentation: column)
            let size = displayWidth(name) + 2
            if size + 2 <= column {
                let space = String(repeating: " ", count: column - size)
                result += "  \(name)\(space)\(lines.dropFirst(column))"
            } else {
                result += "  \(name)\n\(lines)"
            }
        }
        return result
    }

    /// A paragraph broken at spaces, each line indented and ended by a newline.
    private func wrapped(_ text: String, indentation: Int, hanging: Int = 0) -> String {
        var lines: [String] = []
        var line = String(repeating: " ", count: indentation)
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, displayWidth(line) + 1 + displayWidth(String(word)) > width {
                lines.append(line)
                line = String(repeating: " ", count: indentation + hanging)
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        lines.append(line)
        return lines.map { $0 + "\n" }.joined()
    }
}
