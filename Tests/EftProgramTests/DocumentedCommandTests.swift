// SPDX-License-Identifier: Apache-2.0
// Every command line that the documentation and the help show is one that the program reads.
import EftCommandLine
import EftFormats
import EftTestSupport
import Testing

@testable import eft

/// A command line as a shell takes it apart: words, up to the first pipe, redirection or comment.
private struct ShellWords {
    private(set) var words: [String] = []
    private var word: String?
    private var quote: Character?

    init(_ line: String) {
        var previous: Character = " "
        for character in line {
            if let open = quote {
                if character == open {
                    quote = nil
                } else {
                    word = (word ?? "") + String(character)
                }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " {
                end()
            } else if "|<>;&".contains(character) || (character == "#" && previous == " ") {
                break
            } else {
                word = (word ?? "") + String(character)
            }
            previous = character
        }
        end()
    }

    private mutating func end() {
        if let word { words.append(word) }
        word = nil
    }
}

struct DocumentedCommandTests {
    private static let verbs = Set(
        CommandRegistry.program.commands.flatMap { [$0.name] + $0.aliases } + ["completion"])

    /// Files of documentation, by paths below the repository's folder.
    private static func pages() throws -> [String] {
        func list(_ folder: String) throws -> [String] {
            try FileSystem.list(FileSystem.join(Fixtures.packageRoot, folder))
                .map { FileSystem.join(folder, $0) }
        }
        return try ["README.md"]
            + (list("docs") + list("docs/formats")).filter { $0.hasSuffix(".md") }
    }

    /// Command lines of a page: lines of code, and what stands between backticks.
    private static func commands(_ text: String) -> [String] {
        var result: [String] = []
        var begun: String?
        var paragraph = ""
        func spans() -> [String] {
            let parts = paragraph.split(separator: "`", omittingEmptySubsequences: false)
            return parts.enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for line in lines + [""] {
            let code = line.drop { $0 == " " }
            let isCode = line.hasPrefix("    ") && (code.hasPrefix("eft ") || begun != nil)
            if isCode {
                let whole = begun.map { $0 + " " + code } ?? String(code)
                begun = whole.hasSuffix("\\") ? String(whole.dropLast()) : nil
                if begun == nil { result.append(whole) }
            } else if line.isEmpty || line.hasPrefix("```") {
                result += spans().filter { $0.hasPrefix("eft ") }
                paragraph = ""
            } else {
                paragraph += (paragraph.isEmpty ? "" : " ") + line
            }
        }
        return result
    }

    /// What the program says against a command line; nil when it reads it.
    private static func refusal(_ line: String) -> String? {
        // What is left out on purpose is no command line.
        guard !line.contains("..."), !line.contains("…") else { return nil }
        let words = Array(ShellWords(line).words.dropFirst())
        guard let verb = words.first, verbs.contains(verb) else {
            let isOption = words.first?.hasPrefix("-") ?? true
            let isName = words.first?.allSatisfy { $0.isUppercase || "|-".contains($0) } ?? true
            return isOption || isName ? nil : "no verb '\(words.first ?? "")'"
        }
        // A verb alone is talked about.
        guard words.count > 1 else { return nil }
        do {
            _ = try CommandRegistry.program.resolve(words)
            return nil
        } catch { return "\(error.message)" }
    }

    @Test func `command lines of the documentation are read`() throws {
        var count = 0
        for page in try Self.pages() {
            let text = String(
                decoding: try FileSystem.read(FileSystem.join(Fixtures.packageRoot, page)),
                as: UTF8.self)
            for command in Self.commands(text) {
                count += 1
                let problem = Self.refusal(command)
                #expect(problem == nil, "\(page): \(command): \(problem ?? "")")
            }
        }
        #expect(count > 140)
    }

    @Test func `examples of the help are read`() {
        for command in CommandRegistry.program.commands {
            for example in command.examples {
                let line = example.command.split(separator: "| ").last.map(String.init) ?? ""
                let problem = Self.refusal(line)
                #expect(problem == nil, "\(command.name): \(line): \(problem ?? "")")
            }
        }
    }

    @Test func `options that messages advise are there`() throws {
        // An adapter's base can be held as stored or otherwise wherever a model is loaded.
        for verb in ["run", "chat", "eval", "serve", "evaluate"] {
            for option in ["--no-load-in-4bit", "--load-in-4bit", "--no-load-in-8bit"] {
                #expect(Self.refusal("eft \(verb) x \(option)")?.contains(option) != true)
            }
        }
    }
}
