// SPDX-License-Identifier: Apache-2.0
// The answers to a chat, whole or as a stream.
import EftConfig
import EftGeneration
import Synchronization

/// Gathers the answers to a chat, or sends them on as they grow.
final class ChatAnswer: AnswerListener {
    private struct Choice {
        var text: ChatTextParser
        var message = ChatMessage()
        /// What a stream has yet to send.
        var delta = ChatDelta()
        var tokens: [AnswerToken] = []
        var end: AnswerEnd?
        /// Whether a stream has named the role.
        var hasBegun = false
    }

    private struct State {
        var choices: [Choice]
        var scores: [SampledToken?]?
        var usage = Usage()
        var open: Int
        var hasFailed = false
    }

    private let request: ChatRequest
    private let model: ServedModel
    private let head: AnswerHead
    private let texts: TokenTexts
    private let responder: Responder
    private let stream: DeferredStream?
    private let state: Mutex<State>

    init(_ request: ChatRequest, _ model: ServedModel, _ responder: Responder) {
        self.request = request
        self.model = model
        self.responder = responder
        let isStream = request.stream.isStream
        head = AnswerHead(
            prefix: "chatcmpl-",
            object: isStream ? "chat.completion.chunk" : "chat.completion",
            model: request.placement.named.name)
        texts = TokenTexts(model: model, asIDs: request.tokensAsIDs)
        stream = isStream ? DeferredStream(responder) : nil
        var choice = Choice(text: ChatTextParser(request, model))
        choice.delta.content = request.prompt.echo
        choice.message.content = request.prompt.echo
        var usage = Usage()
        usage.prompt = request.prompt.tokens.count
        usage.reasoning = model.options.reasoning == nil ? nil : 0
        state = Mutex(
            State(
                choices: Array(repeating: choice, count: request.samples), usage: usage,
                open: request.samples))
    }

    // MARK: What the engine tells

    func began(prompt: Int, cachedTokens: Int) {
        state.withLock { $0.usage.cached? += cachedTokens }
    }

    func scored(prompt: Int, _ scores: [SampledToken?]) { state.withLock { $0.scores = scores } }

    func grew(prompt: Int, sample: Int, _ piece: AnswerPiece) -> Bool {
        state.withLock { state in
            state.usage.completion += piece.tokens.count
            if state.choices[sample].text.isReasoning {
                state.usage.reasoning = (state.usage.reasoning ?? 0) + piece.tokens.count
            }
            let delta = state.choices[sample].text.append(piece.text)
            add(delta, piece.tokens, to: sample, &state)
            guard let stream else { return true }
            let isWorthIt =
                !state.choices[sample].delta.isEmpty || !state.choices[sample].hasBegun
                || request.topLogprobs != nil || request.returnsTokenIDs
            return isWorthIt ? send(sample, nil, stream, &state) : stream.isOpen
        }
    }

    func ended(prompt: Int, sample: Int, _ piece: AnswerPiece, _ end: AnswerEnd) {
        state.withLock { state in
            var delta = state.choices[sample].text.append(piece.text)
            let rest = state.choices[sample].text.finish(isCut: end.reason != .stop)
            delta.content += rest.content
            delta.reasoning += rest.reasoning
            delta.calls += rest.calls
            add(delta, piece.tokens, to: sample, &state)
            state.choices[sample].end = end
            if request.tools.format != nil { model.metrics.parsedToolCalls() }
            state.open -= 1
            if let stream {
                finish(sample, end, stream, &state)
            } else if state.open == 0 {
                respond(state)
            }
        }
    }

    private func add(
        _ delta: ChatDelta, _ tokens: [AnswerToken], to sample: Int, _ state: inout State
    ) {
        state.choices[sample].message.add(delta)
        if request.topLogprobs != nil || request.returnsTokenIDs {
            state.choices[sample].tokens += tokens
        }
        guard stream != nil else { return }
        state.choices[sample].delta.content += delta.content
        state.choices[sample].delta.reasoning += delta.reasoning
        state.choices[sample].delta.calls += delta.calls
    }

    /// Why a choice ended, in the words of chats.
    private func reason(_ end: AnswerEnd, _ choice: Choice) -> String {
        let calls = end.reason == .stop && !choice.message.calls.isEmpty && !request.tools.isNamed
        return calls ? "tool_calls" : end.reason.rawValue
    }

    // MARK: A stream

    private func finish(
        _ sample: Int, _ end: AnswerEnd, _ stream: DeferredStream, _ state: inout State
    ) {
        guard !state.hasFailed else { return }
        if let error = end.error {
            state.hasFailed = true
            return stream.fail(model.failure(of: error))
        }
        _ = send(sample, end, stream, &state)
        guard state.open == 0 else { return }
        stream.finish(head, usage: request.stream.usage ? state.usage : nil)
    }

    /// Sends what a choice has gathered.
    private func send(
        _ sample: Int, _ end: AnswerEnd?, _ stream: DeferredStream, _ state: inout State
    ) -> Bool {
        if !state.choices[sample].hasBegun {
            state.choices[sample].hasBegun = true
            let role: ConfigObject = [
                "index": ConfigNode(sample), "delta": ["role": "assistant", "content": ""],
                "logprobs": .null, "finish_reason": .null,
            ]
            stream.send(chunk(role, state))
            guard
                end != nil || !state.choices[sample].delta.isEmpty || request.topLogprobs != nil
                    || request.returnsTokenIDs
            else { return stream.isOpen }
        }
        let choice = state.choices[sample]
        var node: ConfigObject = [
            "index": ConfigNode(sample), "delta": ConfigNode(choice.delta.node),
        ]
        node["logprobs"] =
            request.topLogprobs.map { texts.chat(choice.tokens, count: $0) } ?? .null
        if request.returnsTokenIDs {
            node["token_ids"] = ConfigNode(choice.tokens.map { Int($0.token.id) })
        }
        node["finish_reason"] = end.map { ConfigNode(reason($0, choice)) } ?? .null
        if let stop = end?.stop { node["stop_reason"] = stop.node }
        state.choices[sample].delta = ChatDelta()
        state.choices[sample].tokens = []
        return stream.send(chunk(node, state))
    }

    private func chunk(_ choice: ConfigObject, _ state: State) -> ConfigNode {
        ConfigNode(
            head.node([ConfigNode(choice)], usage: request.stream.always ? state.usage : nil))
    }

    // MARK: A whole

    private func respond(_ state: State) {
        if let error = state.choices.lazy.compactMap({ $0.end?.error }).first {
            responder.fail(model.failure(of: error))
            return
        }
        let choices = state.choices.indices.map { node($0, state.choices[$0]) }
        var whole = head.whole(choices, usage: state.usage)
        whole["prompt_logprobs"] = state.scores.map { texts.prompt($0) } ?? .null
        if request.returnsTokenIDs {
            whole["prompt_token_ids"] = ConfigNode(request.prompt.tokens.map { Int($0) })
        }
        responder.respond(.json(ConfigNode(whole)))
    }

    private func node(_ index: Int, _ choice: Choice) -> ConfigNode {
        var node: ConfigObject = ["index": ConfigNode(index), "message": choice.message.node]
        node["logprobs"] =
            request.topLogprobs.map { texts.chat(choice.tokens, count: $0) } ?? .null
        node["finish_reason"] = choice.end.map { ConfigNode(reason($0, choice)) } ?? .null
        node["stop_reason"] = choice.end?.stop?.node ?? .null
        if request.returnsTokenIDs {
            node["token_ids"] = ConfigNode(choice.tokens.map { Int($0.token.id) })
        }
        return ConfigNode(node)
    }
}
