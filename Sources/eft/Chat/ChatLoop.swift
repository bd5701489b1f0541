// SPDX-License-Identifier: Apache-2.0
// The course of a chat: a message, its answer, and commands in between.
import CLineEditor
import EftCommandLine
import EftConfig
import EftFormats
import EftGeneration
import EftTokenizers

/// Reads messages and shows answers until the user leaves.
struct ChatLoop {
    let session: ChatSession
    let reasoning: ReasoningFormat?
    /// Adapters that are loaded: names and slots.
    let adapters: [(name: String, slot: Int)]
    let reader: any ChatReading
    /// Whether each answer is followed by its tokens and speed.
    var showsStatistics = false
    /// Whether answers go to standard output as they come.
    var writesAnswers = true
    /// Whether each answer is sampled with a seed of its own.
    var variesSeed = true
    private var failures = 0
    /// The turn whose message stands in the next line, to be edited.
    private var edited: ChatConversation.Turn?

    init(
        _ session: ChatSession, reasoning: ReasoningFormat?,
        adapters: [(name: String, slot: Int)], reader: any ChatReading
    ) {
        self.session = session
        self.reasoning = reasoning
        self.adapters = adapters
        self.reader = reader
    }

    /// Talks.
    /// - Throws: `Interruption` when the program is to stop, `ChatFailure` when a message of a pipe was not answered.
    mutating func run() throws {
        eft_interrupts_catch()
        greet()
        loop: while true {
            switch message() {
            case .end: break loop
            case .interrupted:
                guard reader.isInteractive, !Self.isEnding else {
                    throw Interruption(description: "interrupted")
                }
                say(restoreEdited() ? "the message stays as it was" : "Ctrl-D or /bye leaves")
            case .line(let text):
                guard try follow(text) else { break loop }
            }
            if Self.isEnding { throw Interruption(description: "interrupted") }
        }
        if failures > 0, !reader.isInteractive {
            throw ChatFailure(
                description: failures == 1
                    ? "one message was not answered" : "\(failures) messages were not answered")
        }
    }

    /// Whether the system, or an output that nobody reads any more, ends the program.
    private static var isEnding: Bool { InterruptFlag.isRaised || eft_interrupts_ending() }

    private func greet() {
        guard reader.isInteractive else { return }
        let names = adapters.map(\.name).joined(separator: " + ")
        say(
            "\(session.contextLength) tokens of context"
                + (names.isEmpty ? "" : ", adapter \(names)")
                + ". /help lists commands, Ctrl-D leaves.")
    }

    // MARK: Lines

    /// The next whole message; lines without a character are passed over.
    private mutating func message() -> ChatLine {
        var lines = ChatLines()
        while true {
            let prefill = lines.isOpen ? "" : edited?.question ?? ""
            switch reader.read(prompt: lines.isOpen ? "... " : ">>> ", prefill: prefill) {
            case .interrupted:
                _ = eft_interrupts_take()
                return .interrupted
            case .end: return lines.finish().map { .line($0) } ?? .end
            case .line(let line):
                guard let message = lines.add(line) else { continue }
                if message.allSatisfy(\.isWhitespace) { continue }
                reader.remember(message)
                return .line(message)
            }
        }
    }

    /// Does what a message asks for; returns whether to go on.
    private mutating func follow(_ message: String) throws -> Bool {
        do {
            let instruction = try ChatInstruction(message)
            if case .say(let text) = instruction, let turn = edited {
                edited = nil
                try replace(turn, by: text)
                return true
            }
            _ = restoreEdited()
            if instruction == .leave { return false }
            try obey(instruction)
        } catch let error where Self.isAboutMessage(error) {
            failures += 1
            say("\(error)")
        }
        return true
    }

    /// Whether an error leaves the conversation as it was, so that another message may do.
    private static func isAboutMessage(_ error: any Error) -> Bool {
        switch error {
        case is GenerationError, is ChatTemplateError, is ConfigError, is FormatError: true
        default: false
        }
    }

    private mutating func obey(_ instruction: ChatInstruction) throws {
        switch instruction {
        case .say(let text): try answer { try $0.ask(text, isCancelled: $1, onEvent: $2) }
        case .retry: try answer { try $0.retry(isCancelled: $1, onEvent: $2) }
        case .edit(let text?): try edit(text)
        case .edit(nil): try startEditing()
        case .undo: undo()
        case .help: help()
        case .showSystem: say(session.conversation.system ?? "no system prompt of yours")
        case .setSystem(let text):
            session.conversation.system = text
            say(text == nil ? "no system prompt of yours any more" : "the system prompt is set")
        case .showSettings: showSettings()
        case .set(let name, let value): try set(name, value)
        case .save(let file): try save(file)
        case .load(let file): try load(file)
        case .tokens:
            say("\(try session.tokenCount()) of \(session.contextLength) tokens are used")
        case .clear:
            session.conversation.turns = []
            say("the conversation is forgotten")
        case .leave: break
        }
    }

    // MARK: Answers

    private typealias Listener = (ChatEvent) throws -> Bool

    private mutating func answer(
        _ make: (ChatSession, () -> Bool, Listener) throws -> ChatAnswer
    ) throws {
        if variesSeed { session.parameters.seed = UInt64.random(in: 0...UInt64(Int.max)) }
        var printer = writesAnswers ? AnswerPrinter(reasoning) : nil
        var hasText = false
        eft_terminal_set_echo(false)
        defer { eft_terminal_set_echo(true) }
        let isCancelled = { eft_interrupts_raised() || Self.isEnding }
        let answer: ChatAnswer
        do {
            answer = try make(session, isCancelled) { event in
                switch event {
                case .text(let text):
                    hasText = true
                    printer?.write(text: text)
                case .thought(let text):
                    hasText = true
                    printer?.write(thought: text)
                case .forgot(let turns):
                    say("the context is full: the model no longer sees the \(Self.oldest(turns))")
                case .reading: break
                }
                return true
            }
        } catch {
            if hasText { printer?.finish() }
            throw error
        }
        printer?.finish()
        tell(answer)
        if !reader.isInteractive, eft_interrupts_raised() {
            throw Interruption(description: "interrupted")
        }
        _ = eft_interrupts_take()
    }

    private static func oldest(_ turns: Int) -> String {
        turns == 1 ? "oldest message and its answer" : "\(turns) oldest messages and their answers"
    }

    private func tell(_ answer: ChatAnswer) {
        switch answer.finish {
        case .stop: break
        case .length: say("cut at \(answer.tokens.count) tokens (-t)")
        case .context:
            say("cut: the context of \(session.contextLength) tokens is full (/undo, /clear)")
        case .interrupted:
            let isEmpty = answer.text.isEmpty && answer.thoughts.isEmpty
            say(isEmpty ? "stopped before the answer; the message is taken back" : "stopped")
        }
        guard showsStatistics else { return }
        say(
            "\(answer.promptTokens) prompt tokens (\(answer.cachedTokens) cached), "
                + "\(answer.tokens.count) tokens, \(formatRate(answer.tokensPerSecond, "tokens")), "
                + "first after \(formatFixed(answer.firstSeconds, decimals: 2)) s")
    }

    private mutating func edit(_ text: String) throws {
        guard let last = session.undo() else { throw GenerationError("nothing was asked yet") }
        try replace(last, by: text)
    }

    /// Asks another message instead of a turn's, which comes back when there is no answer.
    private mutating func replace(_ turn: ChatConversation.Turn, by text: String) throws {
        let before = session.conversation.turns.count
        do {
            try answer { try $0.ask(text, isCancelled: $1, onEvent: $2) }
        } catch {
            session.conversation.turns.append(turn)
            throw error
        }
        if session.conversation.turns.count == before { session.conversation.turns.append(turn) }
    }

    /// Takes the last turn out and puts its message into the next line.
    private mutating func startEditing() throws {
        guard reader.isInteractive else {
            throw GenerationError("/edit needs the new message behind it")
        }
        guard let last = session.undo() else { throw GenerationError("nothing was asked yet") }
        edited = last
    }

    /// Puts the turn back whose message was to be edited; returns whether there was one.
    private mutating func restoreEdited() -> Bool {
        guard let turn = edited else { return false }
        edited = nil
        session.conversation.turns.append(turn)
        return true
    }

    private func undo() {
        guard let turn = session.undo() else { return say("there is nothing to take back") }
        say("taken back: \(excerpt(turn.question))")
    }

    // MARK: Commands

    private func help() {
        let width = ChatInstruction.commands.map(\.usage.count).max() ?? 0
        for (usage, explanation) in ChatInstruction.commands {
            let space = String(repeating: " ", count: width - usage.count + 2)
            say(usage + space + explanation)
        }
        say("\"\"\" begins and ends a message of several lines; Ctrl-C stops an answer")
    }

    private func showSettings() {
        var settings = session.parameters.named
        if variesSeed { settings = settings.map { $0.name == "seed" ? ($0.name, "random") : $0 } }
        settings.append(("max-tokens", session.answerLimit.map { "\($0)" } ?? "none"))
        settings.append(("stats", showsStatistics ? "on" : "off"))
        if !adapters.isEmpty {
            let acting = adapters.filter { session.adapters.contains($0.slot) }.map(\.name)
            settings.append(("adapter", acting.isEmpty ? "none" : acting.joined(separator: "+")))
        }
        for (name, value) in settings { say("\(name) \(value)") }
    }

    private mutating func set(_ name: String, _ value: String) throws {
        switch name.replacing("_", with: "-") {
        case "stats", "verbose": showsStatistics = try Self.truth(value, name)
        case "max-tokens":
            let number = value == "none" ? -1 : Int(value) ?? 0
            guard number != 0 else {
                throw GenerationError("max-tokens takes an integer of at least 1, or none")
            }
            session.answerLimit = number > 0 ? number : nil
        case "adapter": try setAdapter(value)
        case "seed":
            try session.parameters.set("seed", to: value)
            variesSeed = value == "random"
        default: try session.parameters.set(name, to: value)
        }
        say("\(name) is \(value)")
    }

    private static func truth(_ value: String, _ name: String) throws -> Bool {
        switch value {
        case "on", "true", "yes": true
        case "off", "false", "no": false
        default: throw GenerationError("\(name) takes on or off")
        }
    }

    /// Lets one adapter act, several joined by +, `all` or `none`.
    private func setAdapter(_ value: String) throws {
        switch value {
        case "none": session.adapters = []
        case "all": session.adapters = adapters.map(\.slot)
        default:
            session.adapters = try value.split(separator: "+").map { name in
                guard let adapter = adapters.first(where: { $0.name == name }) else {
                    let known = adapters.map(\.name)
                    throw GenerationError(
                        known.isEmpty
                            ? "no adapter is loaded; start with --adapter NAME=DIR"
                            : "there is no adapter '\(excerpt(String(name)))'; there are: "
                                + known.joined(separator: ", "))
                }
                return adapter.slot
            }
        }
    }

    private func save(_ file: String) throws {
        let text = JSONWriter.text(session.conversation.document, layout: .indented(2)) + "\n"
        let output = try OutputFile(path: file)
        try output.write(Array(text.utf8))
        try output.seal()
        try output.publish()
        say("\(session.conversation.turns.count) turns are written to \(file)")
    }

    private func load(_ file: String) throws {
        let bytes = try ConfigFile.contents(file)
        let document = ConfigCursor(try JSONParser.parse(bytes, file: file), file: file)
        session.conversation = try ChatConversation(document: document)
        say("\(session.conversation.turns.count) turns are read from \(file)")
    }

    /// What is no part of the conversation goes to standard error.
    private func say(_ text: String) {
        TerminalOutput.standardError.writeWrapped(text, .dim)
    }
}

/// Messages of a pipe that were not answered.
struct ChatFailure: Error, CustomStringConvertible {
    let description: String
}
