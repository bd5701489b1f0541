// SPDX-License-Identifier: Apache-2.0
// Beam searches over the engine, one for each prompt of a request.
import EftConfig
import EftGeneration
import Synchronization

/// Asks the engine for the likeliest next tokens of each beam, step by step, and answers with the best beams.
///
/// Each step of a beam is a request for one token; what it has in common with others is found among the pages.
final class BeamRun: Sendable {
    private struct Search {
        var beams: BeamSearch
        /// The likeliest next tokens of the active beams, as far as they are known.
        var found: [[RankedToken]?] = []
    }

    private struct State {
        var searches: [Search]
        var open: Int
        var usage = Usage()
        var hasFailed = false
        var tickets: [Engine.Ticket] = []
        var isCancelled = false
    }

    private let request: CompletionRequest
    private let model: ServedModel
    private let responder: Responder
    private let head: AnswerHead
    private let state: Mutex<State>

    init(
        _ request: CompletionRequest, _ beams: BeamSearchParameters, _ model: ServedModel,
        _ responder: Responder
    ) throws(HTTPFailure) {
        self.request = request
        self.model = model
        self.responder = responder
        head = AnswerHead(
            prefix: "cmpl-", object: "text_completion", model: request.placement.named.name)
        var searches: [Search] = []
        for prompt in request.prompts {
            var own = beams
            own.maxTokens = try model.answerLength(request.maxTokens, prompt: prompt.count)
            searches.append(Search(beams: BeamSearch(own)))
        }
        var usage = Usage()
        usage.prompt = request.prompts.reduce(0) { $0 + $1.count }
        state = Mutex(State(searches: searches, open: searches.count, usage: usage))
    }

    /// Begins all searches.
    /// - Throws: `HTTPFailure` when the engine does not let them in.
    func start() throws(HTTPFailure) {
        responder.onCancel { [weak self] in self?.cancel() }
        responder.tally.began(model: head.model)
        responder.tally.submitted(promptTokens: request.prompts.reduce(0) { $0 + $1.count })
        for prompt in request.prompts.indices { try step(prompt) }
    }

    private func cancel() {
        let tickets = state.withLock { state in
            state.isCancelled = true
            return state.tickets
        }
        for ticket in tickets { model.engine.cancel(ticket) }
    }

    /// Asks for the next tokens of a prompt's active beams.
    private func step(_ prompt: Int) throws(HTTPFailure) {
        let active = state.withLock { state in
            let active = state.searches[prompt].beams.active
            state.searches[prompt].found = Array(repeating: nil, count: active.count)
            return active
        }
        var parameters = request.parameters
        parameters.maxTokens = 1
        parameters.minTokens = 0
        parameters.temperature = 0
        parameters.stop = []
        parameters.logprobs = min(2 * (request.beams?.width ?? 1), model.engine.vocabulary)
        for (place, beam) in active.enumerated() {
            let listener = Listener(self, prompt: prompt, beam: place)
            let engine = request.placement.request(
                request.prompts[prompt] + beam.tokens, parameters,
                TallySink(listener, responder.tally))
            do {
                let ticket = try model.engine.submit(engine)
                let isCancelled = state.withLock { state in
                    state.tickets.append(ticket)
                    return state.isCancelled
                }
                if isCancelled { model.engine.cancel(ticket) }
            } catch {
                cancel()
                throw model.failure(of: error)
            }
        }
    }

    /// Hears of one beam's next token.
    private final class Listener: EngineSink {
        private let run: BeamRun
        private let prompt: Int
        private let beam: Int
        private let found = Mutex<[RankedToken]>([])

        init(_ run: BeamRun, prompt: Int, beam: Int) {
            self.run = run
            self.prompt = prompt
            self.beam = beam
        }

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            found.withLock { $0 = token.token.top.sorted { $0.rank < $1.rank } }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) {
            run.found(found.withLock { $0 }, end, prompt: prompt, beam: beam)
        }
    }

    private func found(
        _ tokens: [RankedToken], _ end: SampleEnd, prompt: Int, beam: Int
    ) {
        if let error = end.error { return fail(model.failure(of: error)) }
        guard end.reason != .abort else {
            return fail(.unavailable("the request was ended before it was done"))
        }
        let goesOn = state.withLock { state -> Bool? in
            state.searches[prompt].found[beam] = tokens
            let found = state.searches[prompt].found.compactMap { $0 }
            guard found.count == state.searches[prompt].found.count else { return nil }
            state.tickets = []
            state.searches[prompt].beams.advance(found)
            if state.searches[prompt].beams.active.isEmpty { state.open -= 1 }
            return !state.searches[prompt].beams.active.isEmpty
        }
        guard let goesOn else { return }
        guard goesOn else { return finish() }
        do throws(HTTPFailure) { try step(prompt) } catch { fail(error) }
    }

    private func fail(_ failure: HTTPFailure) {
        let isFirst = state.withLock { state in
            defer { state.hasFailed = true }
            return !state.hasFailed
        }
        guard isFirst else { return }
        responder.fail(failure)
        cancel()
    }

    /// Answers once all searches are over.
    private func finish() {
        let answer = state.withLock { state -> ConfigNode? in
            guard state.open == 0, !state.hasFailed else { return nil }
            var choices: [ConfigNode] = []
            for search in state.searches {
                for beam in search.beams.answers {
                    state.usage.completion += beam.steps.count
                    choices.append(choice(beam, index: choices.count))
                }
            }
            return ConfigNode(head.node(choices, usage: state.usage))
        }
        if let answer { responder.respond(.json(answer)) }
    }

    private func choice(_ beam: BeamSearch.Beam, index: Int) -> ConfigNode {
        let text = try? model.tokenizer.decode(
            beam.tokens, skipSpecialTokens: request.parameters.skipSpecialTokens)
        return [
            "index": ConfigNode(index), "text": ConfigNode(text ?? ""), "logprobs": .null,
            "finish_reason": beam.endToken == nil ? "length" : "stop", "stop_reason": .null,
            "cumulative_logprob": ConfigNode(beam.logprob),
        ]
    }
}
