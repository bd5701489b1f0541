// SPDX-License-Identifier: Apache-2.0
// Verbs below a verb have options and help of their own.
import EftCommandLine
import Testing

@Suite struct SubcommandTests {
    private let program = ProgramSpecification(
        name: "eft", version: "1", abstract: "A program.",
        commands: [
            CommandSpecification(
                name: "bench", abstract: "Measure.",
                options: [OptionSpecification("--layers", kind: .value("N"), help: "layers")],
                arguments: [
                    ArgumentSpecification(
                        "KIND", count: .any, help: "what", completion: .none)
                ],
                subcommands: [
                    CommandSpecification(
                        name: "bench serve", abstract: "Load a server.",
                        options: [OptionSpecification("--port", kind: .value("N"), help: "port")])
                ])
        ])

    private func run(_ words: String...) throws -> ParsedArguments {
        guard case .run(_, let arguments) = try program.resolve(words) else {
            throw UsageError("no run")
        }
        return arguments
    }

    @Test func `the second word chooses`() throws {
        let below = try run("bench", "serve", "--port", "3")
        #expect(below.command.name == "bench serve" && below.string("port") == "3")
        let above = try run("bench", "kernels", "--layers", "3", "serve")
        #expect(above.command.name == "bench" && above.arguments("KIND") == ["kernels", "serve"])
        #expect(throws: UsageError.self) { try run("bench", "serve", "--layers", "3") }
        #expect(throws: UsageError.self) { try run("bench", "--port", "3") }
    }

    @Test func `faults and help name both words`() throws {
        let error = try #require(throws: UsageError.self) { try run("bench", "serve", "--prot=1") }
        #expect(error.text(program: "eft").hasPrefix("eft bench serve: unknown option '--prot'"))
        for words in [["help", "bench", "serve"], ["bench", "serve", "--help"]] {
            guard case .commandHelp(let command) = try program.resolve(words) else {
                Issue.record("no help")
                continue
            }
            #expect(command.name == "bench serve")
        }
        let help = HelpRenderer(program).commandHelp(program.commands[0])
        #expect(help.contains("\n  serve     Load a server.\n"))
        let below = HelpRenderer(program).commandHelp(program.commands[0].subcommands[0])
        #expect(below.hasPrefix("Usage: eft bench serve [options]\n"))
    }

    @Test func `completion scripts know both words`() {
        let bash = CompletionScript.text(for: program, shell: .bash)
        #expect(bash.contains("'bench serve') verb=\"$verb ${COMP_WORDS[i+1]}\" ;;"))
        #expect(bash.contains("options='--port --help'"))
        #expect(bash.contains("values='serve'"))
        let zsh = CompletionScript.text(for: program, shell: .zsh)
        #expect(zsh.contains("        'bench serve') _arguments"))
        let fish = CompletionScript.text(for: program, shell: .fish)
        #expect(
            fish.contains("-n '__fish_seen_subcommand_from bench' -a serve -d 'Load a server.'"))
        #expect(
            fish.contains(
                "-n '__fish_seen_subcommand_from bench; and __fish_seen_subcommand_from serve' "
                    + "-l port -x"))
    }
}
