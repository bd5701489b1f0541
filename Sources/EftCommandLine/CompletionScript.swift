// SPDX-License-Identifier: Apache-2.0
// Completion scripts for shells, made from the specifications.

/// A shell that can complete command lines.
package enum Shell: String, Sendable, CaseIterable {
    case bash
    case zsh
    case fish
}

/// Makes completion scripts.
package enum CompletionScript {
    /// The script that completes a program's verbs, options and values.
    package static func text(for program: ProgramSpecification, shell: Shell) -> String {
        switch shell {
        case .bash: bash(program)
        case .zsh: zsh(program)
        case .fish: fish(program)
        }
    }

    /// A text between single quotes, for any of the three shells.
    static func quoted(_ text: String, shell: Shell) -> String {
        switch shell {
        case .bash, .zsh: "'" + text.replacing("'", with: "'\\''") + "'"
        case .fish:
            "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
        }
    }

    /// All spellings of an option.
    static func spellings(_ option: OptionSpecification) -> [String] {
        guard option.kind == .invertibleFlag else { return option.names }
        let inverted = option.names.filter { $0.hasPrefix("--") }.map { "--no-\($0.dropFirst(2))" }
        return option.names + inverted
    }

    /// The words that may stand where the verb is expected.
    static func verbs(_ program: ProgramSpecification) -> [(name: String, text: String)] {
        program.commands.map { ($0.name, $0.abstract) } + [
            ("help", "explain a verb"), ("completion", "print a completion script"),
        ]
    }

    /// All verbs with those below them.
    static func allCommands(_ program: ProgramSpecification) -> [CommandSpecification] {
        program.commands.flatMap { [$0] + $0.subcommands }
    }

    /// The words that a verb's cases go by, as shells spell patterns.
    static func pattern(_ command: CommandSpecification) -> String {
        ([command.name] + command.aliases)
            .map { $0.contains(" ") ? quoted($0, shell: .bash) : $0 }.joined(separator: "|")
    }

    /// A pattern of all verbs that stand below others; nil when there are none.
    static func patternBelow(_ program: ProgramSpecification) -> String? {
        let below = program.commands.flatMap(\.subcommands)
        return below.isEmpty ? nil : below.map(pattern).joined(separator: "|")
    }

    // MARK: bash

    private static func bash(_ program: ProgramSpecification) -> String {
        let words = verbs(program).map(\.name) + ["--help", "--version"]
        let name = program.name
        let below =
            patternBelow(program).map { pattern in
                """
                    if (( i + 1 < COMP_CWORD )); then
                        case "$verb ${COMP_WORDS[i+1]}" in
                            \(pattern)) verb="$verb ${COMP_WORDS[i+1]}" ;;
                        esac
                    fi

                """
            } ?? ""
        return """
            # Completion for \(name). Load it with: source <(\(name) completion bash)
            _\(name)_files() {
                local IFS=$'\\n'
                COMPREPLY=( $(compgen "$1" -- "$2") )
                compopt -o filenames 2>/dev/null
            }
            _\(name)() {
                local cur="${COMP_WORDS[COMP_CWORD]}" prev="" verb="" options="" values="" i
                if (( COMP_CWORD > 0 )); then prev="${COMP_WORDS[COMP_CWORD-1]}"; fi
                # bash hands --name=value over as three words.
                if [[ "$cur" == "=" ]]; then cur=""
                elif [[ "$prev" == "=" ]]; then prev="${COMP_WORDS[COMP_CWORD-2]}"; fi
                COMPREPLY=()
                for (( i = 1; i < COMP_CWORD; i++ )); do
                    if [[ "${COMP_WORDS[i]}" != -* ]]; then verb="${COMP_WORDS[i]}"; break; fi
                done
            \(below)\
                case "$verb" in
                    "") options=\(quoted(words.joined(separator: " "), shell: .bash)); values="$options" ;;
                    help) values=\(quoted(program.commands.map(\.name).joined(separator: " "), shell: .bash)) ;;
                    completion) values='bash zsh fish' ;;
            \(allCommands(program).map(bashCase).joined())\
                esac
                if [[ "$cur" == -* ]]; then COMPREPLY=( $(compgen -W "$options" -- "$cur") )
                elif [[ "$values" == @(-f|-d) ]]; then _\(name)_files "$values" "$cur"
                elif [[ -n "$values" ]]; then COMPREPLY=( $(compgen -W "$values" -- "$cur") ); fi
            }
            complete -F _\(name) \(name)

            """
    }

    /// The options of a verb, and after an option what its value may be.
    private static func bashCase(_ command: CommandSpecification) -> String {
        let options = command.options.flatMap(spellings) + ["--help"]
        let names = pattern(command)
        let positional = command.arguments.first?.completion ?? .none
        let below = command.subcommands.map { String($0.name.dropFirst(command.name.count + 1)) }
        var text = """
                    \(names))
                        options=\(quoted(options.joined(separator: " "), shell: .bash))
                        values=\(quoted(bashValues(positional, below), shell: .bash))
                        case "$prev" in

            """
        for option in command.options where option.valueName != nil {
            let values = bashValues(option.completion, option.choices)
            text += """
                                \(option.names.joined(separator: "|"))) options=''; values=\(quoted(values, shell: .bash)) ;;

                """
        }
        return text + """
                        esac ;;

            """
    }

    /// `-f` for files, `-d` for folders, else words.
    private static func bashValues(_ completion: ValueCompletion, _ choices: [String]) -> String {
        switch completion {
        case .file: "-f"
        case .folder: "-d"
        case .none: choices.joined(separator: " ")
        }
    }
}
