// SPDX-License-Identifier: Apache-2.0
// Conversations: what is read again, what is forgotten, what is taken back.
import EftGeneration
import EftModels
import EftTestSupport
import EftTokenizers
import Testing

@Suite struct ChatSessionTests {
    private let questions = [
        "What does the fox do?", "And then?", "Who comes home in the evening?",
    ]

    @Test(arguments: [Float(0), 1])
    func `an answer is that of one request with the same messages, and only new text is read`(
        _ temperature: Float
    ) throws {
        let rig = try ChatRig()
        let session = try rig.session(limit: 20, system: "Be brief.")
        session.parameters.temperature = temperature
        session.parameters.seed = 5
        var known = 0
        for question in questions {
            let hearer = ChatHearer()
            let answer = try session.ask(question, onEvent: hearer.hear)
            var before = session.conversation
            before.turns[before.turns.count - 1].answer = nil
            let prompt = try rig.prompt(before)
            var parameters = session.parameters
            parameters.maxTokens = 20
            #expect(answer.tokens == (try rig.continued(prompt, parameters)))
            #expect(hearer.text == answer.text && !answer.text.isEmpty)
            #expect(answer.promptTokens == prompt.count)
            // Whole pages of what was read before are found, and perhaps some of the answer's.
            #expect(answer.cachedTokens >= known / 16 * 16 && answer.cachedTokens % 16 == 0)
            #expect(answer.cachedTokens < prompt.count)
            #expect(
                hearer.events.first == .reading(tokens: prompt.count, cached: answer.cachedTokens))
            known = prompt.count
        }
        #expect(session.conversation.turns.map(\.question) == questions)
        #expect(session.conversation.turns.allSatisfy { $0.answer != nil })
        #expect(try session.tokenCount() > known)
    }

    @Test func `an answer that is stopped is kept as far as it came`() throws {
        let session = try ChatRig().session(limit: 60)
        let hearer = ChatHearer(pieces: 3)
        let answer = try session.ask("Tell me a story.", onEvent: hearer.hear)
        #expect(answer.finish == .interrupted)
        #expect(answer.tokens.count >= 3 && answer.tokens.count < 10)
        #expect(session.conversation.turns.last?.answer == answer.text)
        #expect(answer.text == hearer.text && !answer.text.isEmpty)
        let next = try session.ask("Go on.", onEvent: { _ in true })
        #expect(next.promptTokens > answer.promptTokens)
    }

    @Test func `an answer that is stopped before it begins takes its message back`() throws {
        let session = try ChatRig().session(limit: 8)
        _ = try session.ask("One", onEvent: { _ in true })
        let before = session.conversation
        let answer = try session.ask("Two", isCancelled: { true }, onEvent: { _ in true })
        #expect(answer.finish == .interrupted && answer.tokens.isEmpty)
        #expect(session.conversation == before)
        let refused = try session.ask("Three", onEvent: { _ in false })
        #expect(refused.finish == .interrupted)
    }

    @Test func `the oldest turns go when the context is full, and answers stay right`() throws {
        let rig = try ChatRig(context: 128)
        let session = try rig.session(limit: 24, system: "Be brief.")
        session.parameters.ignoreEOS = true
        var forgotten = 0
        for number in 0..<12 {
            let hearer = ChatHearer()
            let answer = try session.ask("Question \(number)?", onEvent: hearer.hear)
            forgotten += hearer.forgotten.reduce(0, +)
            #expect(session.forgotten == forgotten)
            #expect(answer.promptTokens + answer.tokens.count <= 128)
            #expect(answer.finish == .length && answer.tokens.count == 24)
            guard hearer.forgotten.count < 2 else { continue }
            var before = session.conversation
            before.turns[number].answer = nil
            // Whether turns went before the answer or within it, the tokens before they went are those of the longer prompt.
            if case .forgot? = hearer.events.first {
                let prompt = try rig.prompt(before, droppingTurns: forgotten)
                var parameters = session.parameters
                parameters.maxTokens = 24
                #expect(answer.tokens == (try rig.continued(prompt, parameters)))
            }
        }
        #expect(forgotten > 0 && forgotten < 12)
        #expect(session.conversation.turns.count == 12)
        #expect(session.conversation.system == "Be brief.")
    }

    @Test func `an answer goes on past the context's end without the oldest turns`() throws {
        let rig = try ChatRig(context: 128)
        let session = try rig.session()
        session.parameters.ignoreEOS = true
        session.answerLimit = 20
        _ = try session.ask("What does the fox do?", onEvent: { _ in true })
        _ = try session.ask("What does the hen do?", onEvent: { _ in true })
        let used = try session.tokenCount()
        session.answerLimit = 128 - used + 10
        let hearer = ChatHearer()
        let answer = try session.ask("And the pony?", onEvent: hearer.hear)
        #expect(answer.finish == .length)
        #expect(answer.tokens.count == session.answerLimit)
        #expect(hearer.forgotten.reduce(0, +) == session.forgotten && session.forgotten > 0)
        // The rest is what follows the shorter prompt and the answer's beginning.
        var before = session.conversation
        before.turns[2].answer = nil
        let first = 128 - answer.promptTokens
        let prompt = try rig.prompt(before, droppingTurns: session.forgotten)
        var parameters = session.parameters
        parameters.maxTokens = answer.tokens.count - first
        let rest = try rig.continued(prompt + answer.tokens.prefix(first), parameters)
        #expect(rest == Array(answer.tokens.dropFirst(first)))
    }

    @Test func `a context that one turn fills ends the answer`() throws {
        let session = try ChatRig(context: 64).session()
        session.parameters.ignoreEOS = true
        let answer = try session.ask("Tell me a story.", onEvent: { _ in true })
        #expect(answer.finish == .context)
        #expect(answer.promptTokens + answer.tokens.count == 64)
    }

    @Test func `a message that does not fit changes nothing`() throws {
        let session = try ChatRig(context: 64).session(limit: 4)
        _ = try session.ask("One", onEvent: { _ in true })
        let before = session.conversation
        let long = String(repeating: "word ", count: 100)
        #expect(throws: GenerationError.self) {
            try session.ask(long, onEvent: { _ in true })
        }
        #expect(session.conversation == before && session.forgotten == 0)
        #expect(try session.ask("Two", onEvent: { _ in true }).tokens.count == 4)
    }

    @Test func `a turn is answered again, and taken back`() throws {
        let session = try ChatRig().session(limit: 12)
        #expect(throws: GenerationError.self) { try session.retry(onEvent: { _ in true }) }
        #expect(session.undo() == nil)
        let first = try session.ask("What does the fox do?", onEvent: { _ in true })
        #expect(try session.retry(onEvent: { _ in true }).tokens == first.tokens)
        #expect(session.conversation.turns.count == 1)
        let stopped = try session.retry(isCancelled: { true }, onEvent: { _ in true })
        #expect(stopped.tokens.isEmpty)
        #expect(session.conversation.turns.last?.answer == first.text)
        #expect(session.undo()?.question == "What does the fox do?")
        #expect(session.conversation.turns.isEmpty)
    }

    @Test func `a stop string ends an answer and is no part of it`() throws {
        let rig = try ChatRig()
        func ask(_ stop: [String]) throws -> ChatAnswer {
            let session = try rig.session(limit: 40)
            session.parameters.ignoreEOS = true
            session.parameters.stop = stop
            return try session.ask("What does the fox do?", onEvent: { _ in true })
        }
        let whole = try ask([])
        let stop = String(whole.text.dropFirst(whole.text.count / 2).prefix(4))
        try #require(stop.count == 4 && whole.finish == .length)
        let answer = try ask([stop])
        #expect(answer.finish == .stop && answer.tokens.count < whole.tokens.count)
        #expect(whole.text.hasPrefix(answer.text + stop))
    }

    @Test func `thoughts are told from what is said`() throws {
        let template = ChatRig.template.replacing("'assistant:'", with: "'assistant:<think>'")
        let session = try ChatRig(template: template).session(
            reasoning: ReasoningFormat.format(named: "qwen3"), limit: 10)
        let answer = try session.ask("What does the fox do?", onEvent: { _ in true })
        #expect(answer.text.isEmpty && !answer.thoughts.isEmpty)
        #expect(session.conversation.turns.last?.thoughts == answer.thoughts)
    }

    @Test func `what was read under one adapter is not found under another`() throws {
        let folder = Fixtures.path("lora/gqa-tied/adapter")
        let decoder = try EngineRig().decoder()
        let slot = try AdapterFile.load(folder, into: decoder)
        var need = GenerationNeed(contextLength: 64, kvType: .f32)
        need.adapters = decoder.adapterWidths
        func tokens(_ generator: Generator, _ adapters: [Int]) throws -> [Int32] {
            var tokens: [Int32] = []
            let request = GenerationRequest(
                prompt: Array(1..<40), parameters: GenerationParameters(maxTokens: 12),
                adapters: adapters)
            _ = try generator.run([request]) { _, token in
                tokens.append(token)
                return true
            }
            return tokens
        }
        let fresh = try [[], [slot]].map {
            try tokens(Generator(decoder: decoder, need: need), $0)
        }
        #expect(fresh[0] != fresh[1])
        let kept = try Generator(decoder: decoder, need: need, keepingPrefixes: true)
        for _ in 0..<2 {
            #expect(try tokens(kept, []) == fresh[0])
            #expect(try tokens(kept, [slot]) == fresh[1])
        }
    }
}
