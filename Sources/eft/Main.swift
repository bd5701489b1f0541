// SPDX-License-Identifier: Apache-2.0
// The entry of the program: finds the verb, runs it, and turns errors into exit statuses.
import EftCommandLine
import EftFormats
import EftModels
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
        let status = run(Array(CommandLine.arguments.dropFirst()))
        if ClosedOutput.isClosed { ClosedOutput.end() }
        exit(status.rawValue)
    }

    private static func run(_ words: [String]) -> ExitStatus {
        let program = CommandRegistry.program
        do {
            let invocation = try program.resolve(words)
            if case .run(let specification, let arguments) = invocation {
                try run(specification, arguments)
            } else {
                try show(invocation, program)
            }
            return .done
        } catch {
            let failure = Failure(error)
            let lines = failure.text(program: program.name).split(separator: "\n")
            for (place, line) in lines.enumerated() {
                TerminalOutput.standardError.writeWrapped(
                    String(line), hanging: 2, place == 0 ? .red : [])
            }
            return failure.status
        }
    }

    private static func run(
        _ specification: CommandSpecification, _ arguments: ParsedArguments
    ) throws {
        guard let command = CommandRegistry.command(specification.name) else { return }
        var arguments = arguments
        arguments.configuration = try UserConfiguration.read()
        arguments.source = HubModels(arguments)
        InterruptFlag.install()
        let assumed = arguments.declares("assume") ? arguments.string("assume") : nil
        if let type = assumed {
            TerminalOutput.standardError.writeWrapped(
                "a model of an unknown type is read as '\(type)': compare its answers before you trust them",
                hanging: 2, [])
        }
        if !command.savesWork(arguments) { ClosedOutput.endsWork() }
        try AssumedArchitecture.reading(as: assumed) { try command.run(arguments) }
    }

    /// What the program says about itself.
    private static func show(_ invocation: Invocation, _ program: ProgramSpecification) throws {
        // What is printed at once is not worth a thread that watches its reader.
        ClosedOutput.endsWork(watching: false)
        let output = TerminalOutput.standardOutput
        switch invocation {
        case .programHelp: output.write(HelpRenderer(program, for: output).programHelp())
        case .commandHelp(let command):
            output.write(HelpRenderer(program, for: output).commandHelp(command))
        case .version(let isVerbose):
            output.writeLine("\(program.name) \(program.version)")
            if isVerbose { try VersionReport.lines().forEach { output.writeLine($0) } }
        case .completionScript(let shell):
            output.write(CompletionScript.text(for: program, shell: shell))
        case .manualPages(let folder):
            try FileSystem.createFolder(folder)
            for page in ManualPage.all(of: program) {
                try AtomicFile.write(FileSystem.join(folder, page.name), page.text)
            }
        case .run: break
        }
    }
}
