// SPDX-License-Identifier: Apache-2.0
// A conversation with a loaded model.
import EftGeneration
import EftTokenizers

/// A conversation: the model's chat template, the turns so far, and what is left of the context.
///
/// Any number of conversations may use one model at once. What was read in earlier turns is found again in the cache, so that
/// a turn reads only what is new. When the context is full the oldest turns are left out, the system prompt never.
///
///     let chat = try ChatSession(model, system: "You are brief.")
///     for try await event in try await chat.send("Hello") {
///         if case .text(let text) = event { print(text, terminator: "") }
///     }
public actor ChatSession {
    /// A question and its answer.
    public struct Turn: Sendable, Hashable {
        /// What the user said.
        public let question: String
        /// What the model said; nil while it has not.
        public let answer: String?
        /// What the model thought before; empty for models that do not mark thoughts.
        public let thoughts: String
    }

    /// What happens while a question is answered.
    public enum Event: Sendable, Hashable {
        /// The oldest turns no longer fit the context; the model does not see them any more.
        case droppedTurns(Int)
        /// The next part of what the model thinks.
        case thought(String)
        /// The next part of what it says.
        case text(String)
        /// The answer is done and part of the conversation; nothing follows.
        case finished(GenerationResult)
    }

    /// The model.
    public nonisolated let model: LanguageModel
    /// How answers are made; what is nil comes from the model's recommendation for chats.
    public var options: GenerationOptions
    private var conversation: ChatConversation
    private var forgotten = 0
    private var isAnswering = false
    private let window: ChatWindow
    private let reasoning: ReasoningFormat?

    /// Begins a conversation.
    /// - Parameters:
    ///   - model: the model; it needs a chat template.
    ///   - system: what the model is told first; nil leaves that to its template.
    ///   - options: how answers are made.
    /// - Throws: `EftError` for a model without a chat template.
    public init(
        _ model: LanguageModel, system: String? = nil,
        options: GenerationOptions = GenerationOptions()
    ) throws(EftError) {
        guard let templates = model.templates else {
            throw EftError(
                .file, "\(model.folder): this model has no chat template; use generate instead")
        }
        do {
            window = ChatWindow(
                tokenizer: model.tokenizer, template: try templates.template(),
                contextLength: model.contextLength)
        } catch { throw EftError(wrapping: error) }
        reasoning = ReasoningFormat.format(inTemplate: templates.source)
        self.model = model
        self.options = options
        conversation = ChatConversation(system: system)
    }

    /// The turns so far, the oldest first, those included that the model no longer sees.
    public var turns: [Turn] {
        conversation.turns.map {
            Turn(question: $0.question, answer: $0.answer, thoughts: $0.thoughts)
        }
    }

    /// What the model is told first.
    public var system: String? { conversation.system }

    /// Changes how answers are made.
    public func setOptions(_ options: GenerationOptions) { self.options = options }

    /// Changes what the model is told first.
    public func setSystem(_ text: String?) { conversation.system = text }

    // MARK: Turns

    /// Asks; the answer comes as it is made.
    ///
    /// A stream that is dropped stops the answer, and what was made of it is kept.
    /// - Throws: `EftError` for a question that does not fit the context, or while another answer is being made.
    public func send(
        _ question: String
    ) throws(EftError) -> AsyncThrowingStream<Event, any Error> {
        try requireIdle()
        conversation.turns.append(ChatConversation.Turn(question: question))
        return try answer { $0.turns.removeLast() }
    }

    /// Asks, and waits for the whole answer.
    /// - Throws: `EftError`.
    public func reply(to question: String) async throws(EftError) -> String {
        let events = try send(question)
        do {
            for try await event in events {
                if case .finished(let result) = event { return result.text }
            }
        } catch { throw EftError(wrapping: error) }
        throw EftError(.cancelled, "canceled before the answer was done")
    }

    /// Answers the last question again.
    /// - Throws: `EftError` when nothing was asked yet, or while an answer is being made.
    public func retry() throws(EftError) -> AsyncThrowingStream<Event, any Error> {
        try requireIdle()
        guard let last = conversation.turns.popLast() else {
            throw EftError(.usage, "nothing was asked yet")
        }
        conversation.turns.append(ChatConversation.Turn(question: last.question))
        return try answer {
            $0.turns.removeLast()
            $0.turns.append(last)
        }
    }

    /// Takes the last question and its answer back.
    /// - Throws: `EftError` while an answer is being made.
    public func undo() throws(EftError) {
        try requireIdle()
        _ = conversation.turns.popLast()
        forgotten = min(forgotten, max(0, conversation.turns.count - 1))
    }

    private func requireIdle() throws(EftError) {
        guard !isAnswering else {
            throw EftError(.usage, "an answer is being made; wait for it, or drop its stream")
        }
    }

    // MARK: Answers

    /// Answers the last question.
    /// - Parameter restore: puts the conversation back to what it was, for a question that cannot be answered.
    private func answer(
        orRestore restore: (inout ChatConversation) -> Void
    ) throws(EftError) -> AsyncThrowingStream<Event, any Error> {
        let before = forgotten
        let prompt: (tokens: [Int32], text: String)
        do {
            prompt = try window.prompt(
                conversation, droppingTurns: &forgotten, limit: options.maxTokens ?? .max)
        } catch {
            restore(&conversation)
            throw EftError(wrapping: error)
        }
        isAnswering = true
        let dropped = forgotten - before
        let events = model.submit(options, defaults: model.chatDefaults) { prompt.tokens }
        let splitter = reasoning?.splitter(after: prompt.text)
        return AsyncThrowingStream { continuation in
            if dropped > 0 { continuation.yield(.droppedTurns(dropped)) }
            let task = Task { await self.relay(events, splitter, to: continuation) }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Hands the model's events on, and keeps the answer.
    private func relay(
        _ events: AsyncThrowingStream<GenerationEvent, any Error>, _ splitter: ReasoningSplitter?,
        to continuation: AsyncThrowingStream<Event, any Error>.Continuation
    ) async {
        var splitter = splitter
        var turn = conversation.turns.last ?? ChatConversation.Turn(question: "")
        turn.answer = ""
        func give(_ parts: [ReasoningPart]) {
            for part in parts {
                switch part {
                case .reasoning(let text) where !text.isEmpty:
                    turn.thoughts += text
                    continuation.yield(.thought(text))
                case .content(let text) where !text.isEmpty:
                    turn.answer = (turn.answer ?? "") + text
                    continuation.yield(.text(text))
                default: break
                }
            }
        }
        var failure: (any Error)?
        var result: GenerationResult?
        do {
            for try await event in events {
                switch event {
                case .text(let text): give(splitter?.add(text) ?? [.content(text)])
                case .finished(let end): result = end
                }
            }
        } catch { failure = error }
        give(splitter?.finish() ?? [])
        keep(turn, failed: failure != nil)
        if let failure {
            continuation.finish(throwing: EftError(wrapping: failure))
        } else {
            if let result { continuation.yield(.finished(result.with(text: turn.answer ?? ""))) }
            continuation.finish()
        }
    }

    /// Keeps an answer, or takes the question back that got none.
    private func keep(_ turn: ChatConversation.Turn, failed: Bool) {
        isAnswering = false
        guard !conversation.turns.isEmpty else { return }
        conversation.turns.removeLast()
        let isEmpty = (turn.answer ?? "").isEmpty && turn.thoughts.isEmpty
        if !(failed && isEmpty) { conversation.turns.append(turn) }
    }
}

extension GenerationResult {
    /// The same result with another text: the answer without thoughts.
    fileprivate func with(text: String) -> GenerationResult {
        GenerationResult(
            text: text, reason: reason, promptTokens: promptTokens, cachedTokens: cachedTokens,
            tokens: tokens, secondsToFirstToken: secondsToFirstToken,
            generationSeconds: generationSeconds)
    }
}
