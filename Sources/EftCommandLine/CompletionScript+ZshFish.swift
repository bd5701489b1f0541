// SPDX-License-Identifier: Apache-2.0
// Completion scripts for zsh and fish.

extension CompletionScript {
    // MARK: zsh

    static func zsh(_ program: ProgramSpecification) -> String {
        let name = program.name
        let verbList = verbs(program).map { verb in
            "        " + quoted("\(escaped(verb.name)):\(escaped(verb.text))", shell: .zsh) + "\n"
        }
        let below =
            patternBelow(program).map { pattern in
                """
                    if (( CURRENT > 2 )); then
                        case "$verb ${words[2]}" in
                            \(pattern))
                                verb="$verb ${words[2]}"
                                shift words
                                (( CURRENT -= 1 )) ;;
                        esac
                    fi

                """
            } ?? ""
        return """
            #compdef \(name)
            # Completion for \(name). Put it as _\(name) in a folder of $fpath, or load it with:
            #   source <(\(name) completion zsh)
            _\(name)() {
                local -a verbs
                verbs=(
            \(verbList.joined())\
                )
                if (( CURRENT == 2 )); then
                    _describe -t verbs 'verb' verbs
                    return
                fi
                local verb="${words[2]}"
                shift words
                (( CURRENT -= 1 ))
            \(below)\
                case "$verb" in
                    help) _describe -t verbs 'verb' verbs ;;
                    completion) _values 'shell' bash zsh fish ;;
            \(allCommands(program).map(zshCase).joined())\
                esac
            }
            if [[ "${funcstack[1]}" == _\(name) ]]; then _\(name) "$@"; else compdef _\(name) \(name); fi

            """
    }

    private static func zshCase(_ command: CommandSpecification) -> String {
        var lines: [String] = []
        for option in command.options {
            for spelling in spellings(option) { lines.append(zshOption(option, spelling)) }
        }
        lines.append("--help[Show this help.]")
        for argument in command.arguments {
            let prefix = argument.count == .any ? "*" : argument.count == .optional ? ":" : ""
            let below = command.subcommands.map {
                String($0.name.dropFirst(command.name.count + 1))
            }
            lines.append(
                "\(prefix):\(escaped(argument.name)):\(zshAction(argument.completion, below))")
        }
        let names = pattern(command)
        let specifications = lines.map { " \\\n                " + quoted($0, shell: .zsh) }
        return "        \(names)) _arguments\(specifications.joined()) ;;\n"
    }

    private static func zshOption(_ option: OptionSpecification, _ spelling: String) -> String {
        var text = "(\(spellings(option).joined(separator: " ")))"
        if case .repeated = option.kind { text = "*" }
        text += spelling
        if option.valueName != nil, spelling.hasPrefix("--") { text += "=" }
        text += "[\(escaped(option.help))]"
        guard let value = option.valueName else { return text }
        return text + ":\(escaped(value)):\(zshAction(option.completion, option.choices))"
    }

    private static func zshAction(_ completion: ValueCompletion, _ choices: [String]) -> String {
        switch completion {
        case .file: "_files"
        case .folder: "_files -/"
        case .none: choices.isEmpty ? " " : "(\(choices.map(escaped).joined(separator: " ")))"
        }
    }

    /// Text in which zsh's separators stand for themselves.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            if "\\[]:()".contains(character) { result += "\\" }
            result.append(character)
        }
        return result
    }

    // MARK: fish

    static func fish(_ program: ProgramSpecification) -> String {
        let name = program.name
        var lines = [
            "# Completion for \(name). Load it with: \(name) completion fish | source",
            "complete -c \(name) -f",
            "complete -c \(name) -n __fish_use_subcommand -l help -d 'List the verbs.'",
            "complete -c \(name) -n __fish_use_subcommand -l version -d 'Print the version.'",
            "complete -c \(name) -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'",
        ]
        for verb in verbs(program) {
            let text = quoted(verb.text, shell: .fish)
            lines.append("complete -c \(name) -n __fish_use_subcommand -a \(verb.name) -d \(text)")
        }
        for command in allCommands(program) {
            let prefix = "complete -c \(name) -n '\(fishCondition(command))'"
            for below in command.subcommands {
                let word = below.name.dropFirst(command.name.count + 1)
                let text = quoted(below.abstract, shell: .fish)
                lines.append("\(prefix) -a \(word) -d \(text)")
            }
            lines.append("\(prefix) -l help -d 'Show this help.'")
            for option in command.options {
                let text = quoted(option.help, shell: .fish)
                for spelling in spellings(option) {
                    lines.append("\(prefix) \(fishName(spelling))\(fishValue(option)) -d \(text)")
                }
            }
            let completions = Set(command.arguments.map(\.completion))
            if completions.contains(.file) {
                lines.append("\(prefix) -F")
            } else if completions.contains(.folder) {
                lines.append("\(prefix) -a '(__fish_complete_directories)'")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// When a verb's options are offered; of one below another when both words are there.
    private static func fishCondition(_ command: CommandSpecification) -> String {
        guard command.name.contains(" ") else {
            let names = ([command.name] + command.aliases).joined(separator: " ")
            return "__fish_seen_subcommand_from \(names)"
        }
        return command.name.split(separator: " ")
            .map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
    }

    private static func fishName(_ spelling: String) -> String {
        let bare = OptionSpecification.bare(spelling)
        if spelling.hasPrefix("--") { return "-l \(bare)" }
        return bare.count == 1 ? "-s \(bare)" : "-o \(bare)"
    }

    private static func fishValue(_ option: OptionSpecification) -> String {
        guard option.valueName != nil else { return "" }
        switch option.completion {
        case .file: return " -r -F"
        case .folder: return " -x -a '(__fish_complete_directories)'"
        case .none where option.choices.isEmpty: return " -x"
        case .none:
            return " -x -a \(quoted(option.choices.joined(separator: " "), shell: .fish))"
        }
    }
}
