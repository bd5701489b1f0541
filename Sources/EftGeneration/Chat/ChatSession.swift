// SPDX-License-Identifier: Apache-2.0
// A conversation with a model, turn by turn.
import EftTensor
import EftTokenizers

/// Asks a model and keeps what was said.
///
/// Each turn renders the whole conversation by the model's template, so that an answer is what one request with the same
/// messages would give; keys and values of what was read before are found again, and only the rest is read. When the
/// context is full the oldest turns are left out, the system prompt and the last question never.
package final class ChatSession {
    /// What was said; kept whole, also when the model no longer sees the oldest turns.
    package var conversation: ChatConversation {
        didSet { if forgotten >= conversation.turns.count { forgotten = 0 } }
    }
    /// How answers are sampled; `maxTokens` is taken from `answerLimit`.
    package var parameters: GenerationParameters
    /// Most tokens of an answer; nil for as many as the context holds.
    package var answerLimit: Int?
    /// Slots of the adapters that act on answers.
    package var adapters: [Int] = []
    /// How many of the oldest turns the model no longer sees.
    package private(set) var forgotten = 0

    private let generator: Generator
    private let tokenizer: Tokenizer
    private let template: ChatTemplate
    private let reasoning: ReasoningFormat?

    /// Begins a conversation.
    /// - Parameters:
    ///   - generator: one that keeps prefixes, or else every turn reads the whole conversation.
    ///   - reasoning: how the model marks thoughts; nil when it has none.
    package init(
        generator: Generator, tokenizer: Tokenizer, template: ChatTemplate,
        reasoning: ReasoningFormat? = nil, parameters: GenerationParameters,
        conversation: ChatConversation = ChatConversation()
    ) {
        self.generator = generator
        self.tokenizer = tokenizer
        self.template = template
        self.reasoning = reasoning
        self.parameters = parameters
        self.conversation = conversation
    }

    /// Tokens that the conversation may come to.
    package var contextLength: Int { generator.contextLength }

    // MARK: Turns

    /// Asks, and adds question and answer to the conversation. An answer that is broken off before its first character takes
    /// the question with it.
    /// - Parameter onEvent: told what happens; returns whether to go on.
    /// - Throws: `GenerationError` when the question does not fit the context, `ChatTemplateError` when the template refuses
    ///   it; the conversation is then as it was before.
    package func ask(
        _ question: String, isCancelled: () -> Bool = { false },
        onEvent: (ChatEvent) throws -> Bool
    ) throws -> ChatAnswer {
        let before = conversation
        conversation.turns.append(ChatConversation.Turn(question: question))
        return try answerLast(restoring: before, isCancelled, onEvent)
    }

    /// Answers the last question again.
    /// - Throws: as `ask`, and `GenerationError` when nothing was asked yet.
    package func retry(
        isCancelled: () -> Bool = { false }, onEvent: (ChatEvent) throws -> Bool
    ) throws -> ChatAnswer {
        guard let last = conversation.turns.last else {
            throw GenerationError("nothing was asked yet")
        }
        let before = conversation
        conversation.turns[conversation.turns.count - 1] = ChatConversation.Turn(
            question: last.question)
        return try answerLast(restoring: before, isCancelled, onEvent)
    }

    /// Takes the last turn back.
    /// - Returns: the turn; nil when there is none.
    @discardableResult
    package func undo() -> ChatConversation.Turn? { conversation.turns.popLast() }

    /// Tokens that the model sees of the conversation at present.
    /// - Throws: `ChatTemplateError` when the template refuses the conversation.
    package func tokenCount() throws -> Int {
        let messages = conversation.messages(droppingTurns: forgotten)
        guard !messages.isEmpty else { return 0 }
        let asks = conversation.turns.last.map { $0.answer == nil } ?? false
        let text = try template.render(ChatInput(messages: messages, addGenerationPrompt: asks))
        return try tokenizer.encode(text, addSpecialTokens: false).count
    }

    private func answerLast(
        restoring before: ChatConversation, _ isCancelled: () -> Bool,
        _ onEvent: (ChatEvent) throws -> Bool
    ) throws -> ChatAnswer {
        let answer: ChatAnswer
        do {
            answer = try makeAnswer(isCancelled, onEvent)
        } catch {
            conversation = before
            throw error
        }
        if answer.finish == .interrupted, answer.text.isEmpty, answer.thoughts.isEmpty {
            conversation = before
        } else {
            let last = conversation.turns.count - 1
            conversation.turns[last].answer = answer.text
            conversation.turns[last].thoughts = answer.thoughts
        }
        return answer
    }

    // MARK: Answers

    private func makeAnswer(
        _ isCancelled: () -> Bool, _ onEvent: (ChatEvent) throws -> Bool
    ) throws -> ChatAnswer {
        let start = ContinuousClock.now
        var parameters = self.parameters
        parameters.maxTokens = max(answerLimit ?? contextLength, 1)
        parameters.minTokens = min(parameters.minTokens, parameters.maxTokens)
        var prompt = try fittingPrompt(answered: 0, limit: parameters.maxTokens, onEvent)
        var run = AnswerRun(
            try OutputText(tokenizer, parameters), reasoning?.splitter(after: prompt.text),
            start: start, promptTokens: prompt.tokens.count)
        while true {
            let reason = try sample(
                prompt.tokens, parameters, &run, isCancelled, onEvent)
            if run.isStopped || reason == .stop { break }
            if reason == .abort {
                run.answer.finish = .interrupted
                break
            }
            let count = run.answer.tokens.count
            guard count < parameters.maxTokens else {
                run.answer.finish = .length
                break
            }
            // The context ends in the middle of the answer: it goes on with fewer of the oldest turns before it.
            let seen = forgotten
            let next = try? fittingPrompt(answered: count, limit: 1, onEvent)
            guard let next, forgotten > seen else {
                run.answer.finish = .context
                break
            }
            prompt = next
        }
        try run.end(onEvent)
        return run.answer
    }

    /// Continues the prompt and what is answered so far until the answer ends or the context does.
    private func sample(
        _ prompt: [Int32], _ parameters: GenerationParameters, _ run: inout AnswerRun,
        _ isCancelled: () -> Bool, _ onEvent: (ChatEvent) throws -> Bool
    ) throws -> FinishReason {
        var parameters = parameters
        let known = prompt + run.answer.tokens
        parameters.maxTokens = min(
            parameters.maxTokens - run.answer.tokens.count, contextLength - known.count)
        parameters.minTokens = min(
            max(0, parameters.minTokens - run.answer.tokens.count), parameters.maxTokens)
        let request = GenerationRequest(prompt: known, parameters: parameters, adapters: adapters)
        var goesOn = true
        var failure: (any Error)?
        let reasons = try generator.run(
            [request], isCancelled: { !goesOn || isCancelled() },
            onBegin: { _, cached in
                let isFirst = run.answer.tokens.isEmpty
                if isFirst { run.answer.cachedTokens = cached }
                do {
                    goesOn = try onEvent(.reading(tokens: known.count, cached: cached))
                } catch { (failure, goesOn) = (error, false) }
            },
            onToken: { _, token in try run.add(token, onEvent) && !isCancelled() })
        if let failure { throw failure }
        return reasons.first ?? .abort
    }

    // MARK: Context

    /// The conversation as a prompt that leaves room for an answer, without the oldest turns if need be.
    private func fittingPrompt(
        answered: Int, limit: Int, _ onEvent: (ChatEvent) throws -> Bool
    ) throws -> (tokens: [Int32], text: String) {
        let window = ChatWindow(
            tokenizer: tokenizer, template: template, contextLength: contextLength)
        let before = forgotten
        let prompt = try window.prompt(
            conversation, droppingTurns: &forgotten, answered: answered, limit: limit)
        if forgotten > before { _ = try onEvent(.forgot(turns: forgotten - before)) }
        return prompt
    }
}

/// An answer that is being made.
private struct AnswerRun {
    var answer = ChatAnswer()
    private var output: OutputText
    private var splitter: ReasoningSplitter?
    private let start: ContinuousClock.Instant
    private var first: ContinuousClock.Instant?

    init(
        _ output: OutputText, _ splitter: ReasoningSplitter?, start: ContinuousClock.Instant,
        promptTokens: Int
    ) {
        self.start = start
        self.output = output
        self.splitter = splitter
        answer.promptTokens = promptTokens
    }

    /// Whether a stop string has come.
    var isStopped: Bool { output.stopString != nil }

    /// Takes a token; returns whether to go on.
    mutating func add(_ token: Int32, _ onEvent: (ChatEvent) throws -> Bool) throws -> Bool {
        if first == nil { first = .now }
        answer.tokens.append(token)
        let piece = try output.append(token).text
        let goesOn = try give(splitter?.add(piece) ?? [.content(piece)], onEvent)
        return goesOn && !isStopped
    }

    /// Gives out what was held back.
    mutating func end(_ onEvent: (ChatEvent) throws -> Bool) throws {
        let rest = try output.finish()
        var parts = splitter?.add(rest) ?? [.content(rest)]
        parts += splitter?.finish() ?? []
        _ = try give(parts, onEvent)
        if let first {
            answer.firstSeconds = (first - start).seconds
            answer.restSeconds = (ContinuousClock.now - first).seconds
        }
    }

    private mutating func give(
        _ parts: [ReasoningPart], _ onEvent: (ChatEvent) throws -> Bool
    ) throws -> Bool {
        var goesOn = true
        for part in parts {
            switch part {
            case .reasoning(let text) where !text.isEmpty:
                answer.thoughts += text
                goesOn = try onEvent(.thought(text)) && goesOn
            case .content(let text) where !text.isEmpty:
                answer.text += text
                goesOn = try onEvent(.text(text)) && goesOn
            default: break
            }
        }
        return goesOn
    }
}
