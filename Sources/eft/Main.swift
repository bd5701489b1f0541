// SPDX-License-Identifier: Apache-2.0
// The entry of the program: finds the verb, runs it, and turns errors into exit statuses.
import EftCommandLine
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

@main
struct Main {
    static func main() {
        // A closed pipe or a file-size limit is an error of one write, not the end of the program.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        Heap.prepare()
        exit(run(Array(CommandLine.arguments.dropFirst())).rawValue)
    }

    private static func run(_ words: [String]) -> ExitStatus {
        let program = CommandRegistry.program
        let output = TerminalOutput.standardOutput
        do {
            switch try program.resolve(words) {
            case .programHelp:
                output.write(HelpRenderer(program, for: output).programHelp())
            case .commandHelp(let command):
                output.write(HelpRenderer(program, for: output).commandHelp(command))
            case .version: output.writeLine("eft \(program.version)")
            case .completionScript(let shell):
                output.write(CompletionScript.text(for: program, shell: shell))
            case .run(let specification, let arguments):
                InterruptFlag.install()
                try CommandRegistry.command(specification.name)?.run(arguments)
            }
            return .done
        } catch {
            let failure = Failure(error)
            TerminalOutput.standardError.writeLine(failure.text(program: program.name))
            return failure.status
        }
    }
}
