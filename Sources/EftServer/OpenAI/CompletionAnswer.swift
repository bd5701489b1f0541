// SPDX-License-Identifier: Apache-2.0
// The answers to a request for completions, whole or as a stream.
import EftConfig
import EftGeneration
import Synchronization

/// Gathers the answers to all prompts of a request, or sends them on as they grow.
final class CompletionAnswer: AnswerListener {
    private struct Choice {
        var text = ""
        var tokens: [AnswerToken] = []
        var end: AnswerEnd?
        /// Whether the prompt was repeated in the stream.
        var hasEchoed = false
    }

    private struct State {
        var choices: [Choice]
        var prompts: [PromptTokens?]
        var scores: [[SampledToken?]?]
        var usage = Usage()
        var open: Int
        var hasFailed = false
    }

    private let request: CompletionRequest
    private let model: ServedModel
    private let head: AnswerHead
    private let texts: TokenTexts
    private let responder: Responder
    private let stream: DeferredStream?
    private let state: Mutex<State>

    /// - Throws: `HTTPFailure` when a prompt cannot be repeated.
    init(
        _ request: CompletionRequest, _ model: ServedModel, _ responder: Responder
    ) throws(HTTPFailure) {
        self.request = request
        self.model = model
        self.responder = responder
        head = AnswerHead(
            prefix: "cmpl-", object: "text_completion", model: request.placement.named.name)
        texts = TokenTexts(model: model, asIDs: request.tokensAsIDs)
        let count = request.prompts.count * request.samples
        var prompts: [PromptTokens?] = Array(repeating: nil, count: request.prompts.count)
        if request.echo {
            for (place, ids) in request.prompts.enumerated() {
                prompts[place] = try PromptTokens(
                    ids, model, hidesFirst: request.beginsByTokenizer)
            }
        }
        var usage = Usage()
        usage.prompt = request.prompts.reduce(0) { $0 + $1.count }
        state = Mutex(
            State(
                choices: Array(repeating: Choice(), count: count), prompts: prompts,
                scores: Array(repeating: nil, count: request.prompts.count), usage: usage,
                open: count))
        stream = request.stream.isStream ? DeferredStream(responder) : nil
    }

    private func index(_ prompt: Int, _ sample: Int) -> Int { prompt * request.samples + sample }

    // MARK: What the engine tells

    func began(prompt: Int, cachedTokens: Int) {
        state.withLock { $0.usage.cached? += cachedTokens }
    }

    func scored(prompt: Int, _ scores: [SampledToken?]) {
        state.withLock { state in
            state.scores[prompt] = scores
            state.prompts[prompt]?.scores = scores
        }
    }

    func grew(prompt: Int, sample: Int, _ piece: AnswerPiece) -> Bool {
        let place = index(prompt, sample)
        return state.withLock { state in
            state.usage.completion += piece.tokens.count
            add(piece, to: &state.choices[place])
            guard let stream else { return true }
            let isWorthIt =
                !state.choices[place].text.isEmpty || request.logprobs != nil
                || request.returnsTokenIDs || (request.echo && !state.choices[place].hasEchoed)
            guard isWorthIt else { return stream.isOpen }
            return stream.send(chunk(place, &state, end: nil))
        }
    }

    func ended(prompt: Int, sample: Int, _ piece: AnswerPiece, _ end: AnswerEnd) {
        let place = index(prompt, sample)
        state.withLock { state in
            add(piece, to: &state.choices[place])
            state.choices[place].end = end
            state.open -= 1
            if let stream {
                send(place, end, stream, &state)
            } else if state.open == 0 {
                respond(&state)
            }
        }
    }

    private func add(_ piece: AnswerPiece, to choice: inout Choice) {
        choice.text += piece.text
        if stream == nil || request.logprobs != nil || request.returnsTokenIDs {
            choice.tokens += piece.tokens
        }
    }

    // MARK: A stream

    private func send(
        _ place: Int, _ end: AnswerEnd, _ stream: DeferredStream, _ state: inout State
    ) {
        guard !state.hasFailed else { return }
        if let error = end.error {
            state.hasFailed = true
            return stream.fail(model.failure(of: error))
        }
        stream.send(chunk(place, &state, end: end))
        guard state.open == 0 else { return }
        stream.finish(head, usage: request.stream.usage ? state.usage : nil)
    }

    /// What a choice has gathered since the last chunk.
    private func chunk(_ place: Int, _ state: inout State, end: AnswerEnd?) -> ConfigNode {
        var choice = state.choices[place]
        var text = choice.text
        var leading: PromptTokens?
        let prompt = state.prompts[place / request.samples]
        if let prompt, !choice.hasEchoed {
            text = prompt.text + text
            leading = prompt
        }
        var node: ConfigObject = ["index": ConfigNode(place), "text": ConfigNode(text)]
        if request.logprobs != nil {
            node["logprobs"] = texts.completion(
                choice.tokens, shift: prompt?.length ?? 0, leading: leading)
        }
        if request.returnsTokenIDs {
            node["token_ids"] = ConfigNode(choice.tokens.map { Int($0.token.id) })
        }
        node["finish_reason"] = end.map { ConfigNode($0.reason.rawValue) } ?? .null
        if let stop = end?.stop { node["stop_reason"] = stop.node }
        choice.text = ""
        choice.tokens = []
        choice.hasEchoed = true
        state.choices[place] = choice
        return ConfigNode(
            head.node([ConfigNode(node)], usage: request.stream.always ? state.usage : nil))
    }

    // MARK: A whole

    private func respond(_ state: inout State) {
        if let error = state.choices.lazy.compactMap({ $0.end?.error }).first {
            responder.fail(model.failure(of: error))
            return
        }
        let choices = state.choices.indices.map { node($0, state) }
        responder.respond(.json(ConfigNode(head.whole(choices, usage: state.usage))))
    }

    private func node(_ place: Int, _ state: State) -> ConfigNode {
        let choice = state.choices[place]
        let prompt = state.prompts[place / request.samples]
        var node: ConfigObject = [
            "index": ConfigNode(place), "text": ConfigNode((prompt?.text ?? "") + choice.text),
        ]
        node["logprobs"] =
            request.logprobs == nil
            ? .null
            : texts.completion(choice.tokens, shift: prompt?.length ?? 0, leading: prompt)
        node["finish_reason"] = choice.end.map { ConfigNode($0.reason.rawValue) } ?? .null
        node["stop_reason"] = choice.end?.stop?.node ?? .null
        let scores = request.promptLogprobs == nil ? nil : state.scores[place / request.samples]
        node["prompt_logprobs"] = scores.map { texts.prompt($0) } ?? .null
        if request.returnsTokenIDs {
            node["token_ids"] = ConfigNode(choice.tokens.map { Int($0.token.id) })
            node["prompt_token_ids"] = ConfigNode(
                request.prompts[place / request.samples].map { Int($0) })
        }
        return ConfigNode(node)
    }
}

extension AnswerEnd.StopCause {
    /// As answers show it.
    var node: ConfigNode {
        switch self {
        case .string(let text): ConfigNode(text)
        case .token(let id): ConfigNode(Int(id))
        }
    }
}
