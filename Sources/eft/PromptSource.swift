// SPDX-License-Identifier: Apache-2.0
// Where prompts come from: the command line, files, standard input.
import EftCommandLine
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// The prompts of a run.
enum PromptSource {
    static let argument = ArgumentSpecification(
        "PROMPT", count: .optional, help: "the prompt; without one, standard input",
        completion: .none)
    static let options = [
        OptionSpecification(
            "-p", "--prompt", kind: .repeated("TEXT"),
            help:
                "the prompt instead of PROMPT, '-' for standard input; several are answered at once, and shown when "
                + "they are done"),
        OptionSpecification(
            "-f", "--prompt-file", "--file", kind: .repeated("FILE"),
            help: "a file with a prompt", completion: .file),
    ]

    /// Longer prompts are taken for a mistake.
    private static let longest = 64 << 20

    /// Whether standard input is a terminal.
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }

    /// The prompts; none when there are none and standard input is a terminal.
    /// - Throws: `UsageError` for an empty prompt, `FormatError` for files that cannot be read.
    static func prompts(_ arguments: ParsedArguments) throws -> [String] {
        var prompts: [String] = []
        if let words = try words(arguments) { prompts.append(words) }
        for text in arguments.strings("prompt") {
            prompts.append(text == "-" ? try standardInput(arguments) : text)
        }
        for file in arguments.strings("prompt-file") {
            prompts.append(
                file == "-"
                    ? try standardInput(arguments)
                    : withoutLastNewline(
                        String(decoding: try FileSystem.read(file), as: UTF8.self)))
        }
        if prompts.isEmpty, !isInteractive { prompts.append(try standardInput(arguments)) }
        guard !prompts.contains("") else {
            throw UsageError(
                "the prompt is empty; give some text, as in 'eft \(arguments.command.name) MODEL \"Hello\"'",
                command: arguments.command.name)
        }
        return prompts
    }

    /// The prompt among the arguments: the second one, or the first when the model stands behind -m.
    private static func words(_ arguments: ParsedArguments) throws -> String? {
        let (first, second) = (
            arguments.argument(ModelArgument.argument.name), arguments.argument(argument.name)
        )
        guard arguments.string("model") != nil else { return second }
        guard second == nil else {
            throw UsageError(
                "the model is given twice, as an argument and by -m; what stands alone is '\(first ?? "")' and "
                    + "'\(second ?? "")' (put a prompt of several words in quotes)",
                command: arguments.command.name)
        }
        return first
    }

    private static func standardInput(_ arguments: ParsedArguments) throws -> String {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = part.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += part[..<count]
            guard bytes.count <= longest else {
                throw UsageError(
                    "standard input has more than \(longest >> 20) MiB; that is no prompt",
                    command: arguments.command.name)
            }
        }
        return withoutLastNewline(String(decoding: bytes, as: UTF8.self))
    }

    /// Editors and `echo` end a text with a newline that is not meant.
    private static func withoutLastNewline(_ text: String) -> String {
        // "\r\n" is one character.
        text.hasSuffix("\n") || text.hasSuffix("\r\n") ? String(text.dropLast()) : text
    }
}
