// SPDX-License-Identifier: Apache-2.0
// Where the lines of a chat come from: a terminal with editing and history, or a pipe.
import CLineEditor
import EftCommandLine
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// What reading a line came to.
enum ChatLine {
    case line(String)
    /// Ctrl-C.
    case interrupted
    /// Ctrl-D, or the end of a pipe.
    case end
}

/// Reads lines.
protocol ChatReading: AnyObject {
    /// Whether a person types.
    var isInteractive: Bool { get }
    /// - Parameter prefill: stands in the line already, to be edited.
    func read(prompt: String, prefill: String) -> ChatLine
    /// Notes a message in the history.
    func remember(_ message: String)
}

enum ChatReader {
    /// A reader of standard input.
    static func standard(keepsHistory: Bool) throws -> any ChatReading {
        guard isatty(STDIN_FILENO) == 1 else { return PipeReader() }
        return try TerminalReader(history: keepsHistory ? historyFile() : nil)
    }

    /// `$XDG_STATE_HOME/eft/chat-history`, or that below `~/.local/state`; nil where neither can be.
    private static func historyFile() -> String? {
        func folder(_ name: String) -> String? {
            getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
        }
        let states =
            folder("XDG_STATE_HOME")
            ?? folder("HOME").map { FileSystem.join($0, ".local/state") }
        guard let own = states.map({ FileSystem.join($0, "eft") }),
            (try? FileSystem.createFolder(own)) != nil
        else { return nil }
        return FileSystem.join(own, "chat-history")
    }
}

/// Lines of a pipe or file.
private final class PipeReader: ChatReading {
    let isInteractive = false

    func read(prompt: String, prefill: String) -> ChatLine {
        // A signal to stop interrupts no read, but what comes after it is not asked any more.
        guard let line = readLine(), !eft_interrupts_raised(), !InterruptFlag.isRaised else {
            return eft_interrupts_raised() ? .interrupted : .end
        }
        return .line(line)
    }

    func remember(_ message: String) {}
}

/// Lines of a terminal.
private final class TerminalReader: ChatReading {
    let isInteractive = true
    private let editor: OpaquePointer

    init(history: String?) throws {
        guard let editor = eft_line_editor_open(history, isatty(STDOUT_FILENO) != 1) else {
            throw UsageError("the terminal cannot be read; pipe the messages in instead")
        }
        self.editor = editor
    }

    deinit { eft_line_editor_close(editor) }

    func read(prompt: String, prefill: String) -> ChatLine {
        var text: UnsafePointer<CChar>?
        let result = eft_line_editor_read(editor, prompt, prefill, &text)
        switch result {
        case EFT_LINE_READ:
            var line = text.map { String(cString: $0) } ?? ""
            if line.hasSuffix("\n") { line.removeLast() }
            return .line(line)
        case EFT_LINE_INTERRUPTED: return .interrupted
        default: return .end
        }
    }

    func remember(_ message: String) { eft_line_editor_remember(editor, message) }
}
