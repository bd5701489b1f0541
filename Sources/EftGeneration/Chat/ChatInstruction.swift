// SPDX-License-Identifier: Apache-2.0
// What a line of a chat asks for: to be said to the model, or a command.
import EftConfig

/// A line of a chat.
package enum ChatInstruction: Sendable, Hashable {
    /// Text for the model.
    case say(String)
    case help
    /// Shows the system prompt.
    case showSystem
    /// Replaces the system prompt; nil takes it away.
    case setSystem(String?)
    /// Shows all settings.
    case showSettings
    /// Changes a setting.
    case set(name: String, value: String)
    /// Answers the last question again.
    case retry
    /// Takes the last question and its answer back.
    case undo
    /// Changes the last question and answers it again; nil lets the user edit it.
    case edit(String?)
    /// Writes the conversation to a file.
    case save(String)
    /// Replaces the conversation by a file's.
    case load(String)
    /// Shows how much of the context is used.
    case tokens
    /// Forgets the conversation.
    case clear
    /// Leaves.
    case leave

    /// Commands with what they do, for help.
    package static let commands: [(usage: String, explanation: String)] = [
        ("/system [TEXT]", "show or replace the system prompt; /system none takes it away"),
        ("/set [NAME VALUE]", "show the settings, or change one: /set temperature 0.7"),
        ("/retry", "answer the last message again"),
        ("/undo", "take the last message and its answer back"),
        ("/edit [TEXT]", "change the last message and answer it again"),
        ("/save FILE", "write the conversation as JSON"),
        ("/load FILE", "go on with a conversation from a file"),
        ("/tokens", "how much of the context is used"),
        ("/clear", "forget the conversation"),
        ("/bye", "leave (also Ctrl-D)"),
        ("/help", "this list"),
    ]

    /// Reads a whole message. Only a slash with a word of letters behind it is a command, so that paths are not taken for one;
    /// a space in front makes any line a message.
    /// - Throws: `GenerationError` for commands that there are not, or that lack what they need.
    package init(_ line: String) throws(GenerationError) {
        let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard line.hasPrefix("/"), let first = words.first,
            first.dropFirst().allSatisfy({ ($0.isASCII && $0.isLetter) || $0 == "?" }),
            first.count > 1
        else {
            self = .say(line)
            return
        }
        let rest = words.count > 1 ? trimmed(words[1]) : ""
        let name = String(first)
        switch name {
        case "/help", "/?": self = .help
        case "/system": self = Self.system(rest)
        case "/set": self = try Self.set(rest)
        case "/retry": self = .retry
        case "/undo": self = .undo
        case "/edit": self = .edit(rest.isEmpty ? nil : rest)
        case "/save": self = .save(try Self.file(rest, name))
        case "/load": self = .load(try Self.file(rest, name))
        case "/tokens": self = .tokens
        case "/clear": self = .clear
        case "/bye", "/exit", "/quit": self = .leave
        default:
            let known = Self.commands.map { String($0.usage.prefix { $0 != " " }) }
            let near = closestMatch(name, in: known).map { "; did you mean \($0)?" } ?? ""
            throw GenerationError(
                "there is no command \(excerpt(name))\(near) (/help lists them; a space in front makes it a message)"
            )
        }
    }

    private static func system(_ text: String) -> ChatInstruction {
        text.isEmpty ? .showSystem : .setSystem(text == "none" ? nil : text)
    }

    private static func set(_ rest: String) throws(GenerationError) -> ChatInstruction {
        guard !rest.isEmpty else { return .showSettings }
        let words = rest.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard words.count == 2 else {
            throw GenerationError("/set takes a name and a value, such as /set temperature 0.7")
        }
        let value = trimmed(words[1])
        return words[0] == "system" ? system(value) : .set(name: String(words[0]), value: value)
    }

    private static func file(
        _ rest: String, _ name: String
    ) throws(GenerationError) -> String {
        guard !rest.isEmpty else { throw GenerationError("\(name) needs the name of a file") }
        return rest
    }
}

/// Puts lines together to messages: what stands between `\"""` and `\"""` is one message.
package struct ChatLines: Sendable {
    private static let mark = "\"\"\""
    private var lines: [String]?

    /// Begins outside of any message.
    package init() {}

    /// Whether a message has begun that is not complete.
    package var isOpen: Bool { lines != nil }

    /// Takes a line.
    /// - Returns: the message, once it is complete.
    package mutating func add(_ line: String) -> String? {
        guard var open = lines else {
            guard line.hasPrefix(Self.mark) else { return line }
            lines = []
            return add(String(line.dropFirst(Self.mark.count)))
        }
        guard line.hasSuffix(Self.mark) else {
            open.append(line)
            lines = open
            return nil
        }
        lines = nil
        let last = String(line.dropLast(Self.mark.count))
        // The marks stand on lines of their own more often than not.
        if open.first == "" { open.removeFirst() }
        if !last.isEmpty { open.append(last) }
        return open.joined(separator: "\n")
    }

    /// What has come of a message that does not end; nil when none has begun.
    package mutating func finish() -> String? {
        defer { lines = nil }
        return lines.map { $0.joined(separator: "\n") }
    }
}

/// A text without white space around it.
private func trimmed(_ text: some StringProtocol) -> String {
    let front = text.drop { $0.isWhitespace }
    return String(front.prefix(front.count - front.reversed().prefix { $0.isWhitespace }.count))
}
