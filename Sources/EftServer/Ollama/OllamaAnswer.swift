// SPDX-License-Identifier: Apache-2.0
// The answer to one of Ollama's requests for text, whole or as lines.
import EftConfig
import EftGeneration
import EftTensor
import Synchronization

/// Gathers an answer, or sends it on as it grows.
final class OllamaAnswer: AnswerListener {
    private struct State {
        var text: ChatTextParser
        /// What there is to send.
        var delta = ChatDelta()
        /// The calls, of which those before `sentCalls` were sent.
        var calls = ChatMessage()
        var sentCalls = 0
        /// Tokens whose log-probabilities are to be sent.
        var tokens: [AnswerToken] = []
        /// All tokens of the answer, where they are returned.
        var context: [Int32] = []
        var count = 0
        var began: ContinuousClock.Instant?
        var first: ContinuousClock.Instant?
    }

    private let request: OllamaRequest
    private let model: ServedModel
    private let texts: TokenTexts
    private let responder: Responder
    private let stream: LineStream?
    private let start = ContinuousClock.now
    private let state: Mutex<State>

    init(_ request: OllamaRequest, _ model: ServedModel, _ responder: Responder) {
        self.request = request
        self.model = model
        self.responder = responder
        texts = TokenTexts(model: model, asIDs: false)
        stream = request.isStream ? LineStream(responder, .ollama) : nil
        state = Mutex(
            State(
                text: ChatTextParser(
                    after: request.thoughtsAfter, request.tools,
                    keepsReasoning: request.showsThoughts, model)))
    }

    // MARK: What the engine tells

    func began(prompt: Int, cachedTokens: Int) { state.withLock { $0.began = .now } }
    func scored(prompt: Int, _ scores: [SampledToken?]) {}

    func grew(prompt: Int, sample: Int, _ piece: AnswerPiece) -> Bool {
        state.withLock { state in
            state.first = state.first ?? .now
            state.count += piece.tokens.count
            let delta = state.text.append(piece.text)
            add(delta, piece.tokens, &state)
            guard let stream else { return !responder.isCancelled }
            let isWorthIt =
                !state.delta.isEmpty || !state.tokens.isEmpty
                || state.sentCalls < state.calls.calls.count - 1
            return isWorthIt ? stream.send(line(&state, isLast: false)) : stream.isOpen
        }
    }

    func ended(prompt: Int, sample: Int, _ piece: AnswerPiece, _ end: AnswerEnd) {
        state.withLock { state in
            var delta = state.text.append(piece.text)
            let rest = state.text.finish(isCut: end.reason != .stop)
            delta.content += rest.content
            delta.reasoning += rest.reasoning
            delta.calls += rest.calls
            add(delta, piece.tokens, &state)
            if request.tools.format != nil { model.metrics.parsedToolCalls() }
            if let error = end.error {
                let failure = model.failure(of: error)
                if let stream { stream.fail(failure) } else { responder.fail(failure) }
                return
            }
            finish(end, &state)
        }
    }

    private func add(_ delta: ChatDelta, _ tokens: [AnswerToken], _ state: inout State) {
        state.delta.content += delta.content
        state.delta.reasoning += delta.reasoning
        state.calls.add(ChatDelta(calls: delta.calls))
        if request.topLogprobs != nil { state.tokens += tokens }
        if request.returnsContext { state.context += tokens.map(\.token.id) }
    }

    private func finish(_ end: AnswerEnd, _ state: inout State) {
        if let stream {
            let isWorthIt =
                !state.delta.isEmpty || !state.tokens.isEmpty
                || state.sentCalls < state.calls.calls.count
            if isWorthIt { stream.send(line(&state, isLast: true)) }
        }
        var object = head(&state, isLast: true)
        object["done"] = true
        object["done_reason"] = ConfigNode(end.reason.rawValue)
        if request.returnsContext {
            object["context"] = ConfigNode((request.prompt + state.context).map { Int($0) })
        }
        let now = ContinuousClock.now
        let began = state.began ?? start
        let first = state.first ?? now
        object["total_duration"] = OllamaAnswer.nanoseconds(now - start)
        object["load_duration"] = OllamaAnswer.nanoseconds(.zero)
        object["prompt_eval_count"] = ConfigNode(request.prompt.count)
        object["prompt_eval_duration"] = OllamaAnswer.nanoseconds(first - began)
        object["eval_count"] = ConfigNode(state.count)
        object["eval_duration"] = OllamaAnswer.nanoseconds(now - first)
        guard let stream else {
            responder.respond(.json(ConfigNode(object)))
            return
        }
        stream.send(ConfigNode(object))
        stream.finish()
    }

    // MARK: Parts

    private func line(_ state: inout State, isLast: Bool) -> ConfigNode {
        var object = head(&state, isLast: isLast)
        object["done"] = false
        return ConfigNode(object)
    }

    /// What has come since the last line.
    /// - Parameter isLast: whether no call grows any more.
    private func head(_ state: inout State, isLast: Bool) -> ConfigObject {
        var content = state.delta.content
        let whole = state.calls.calls.count - (isLast ? 0 : 1)
        var calls: [ConfigNode] = []
        while state.sentCalls < whole {
            let call = state.calls.calls[state.sentCalls]
            // A call that was cut off is text as any other.
            if let node = OllamaAnswer.node(call, index: state.sentCalls) {
                calls.append(node)
            } else {
                content += (call.name ?? "") + call.arguments
            }
            state.sentCalls += 1
        }
        var object: ConfigObject = [
            "model": ConfigNode(request.placement.named.name),
            "created_at": ConfigNode(Timestamp.now),
        ]
        switch request.kind {
        case .chat:
            var message: ConfigObject = ["role": "assistant", "content": ConfigNode(content)]
            if !state.delta.reasoning.isEmpty {
                message["thinking"] = ConfigNode(state.delta.reasoning)
            }
            if !calls.isEmpty { message["tool_calls"] = ConfigNode(calls) }
            object["message"] = ConfigNode(message)
        case .generate:
            object["response"] = ConfigNode(content)
            if !state.delta.reasoning.isEmpty {
                object["thinking"] = ConfigNode(state.delta.reasoning)
            }
        }
        if let count = request.topLogprobs, !state.tokens.isEmpty {
            object["logprobs"] = texts.entries(state.tokens, count: count)
        }
        state.delta = ChatDelta()
        state.tokens = []
        return object
    }

    /// A whole call; nil when its arguments are no mapping.
    private static func node(_ call: ToolCallPart, index: Int) -> ConfigNode? {
        let text = call.arguments.isEmpty ? "{}" : call.arguments
        guard let arguments = try? JSONParser.parse(Array(text.utf8), maximumDepth: 128),
            case .object = arguments.value
        else { return nil }
        return [
            "id": ConfigNode(call.id ?? ""),
            "function": [
                "index": ConfigNode(index), "name": ConfigNode(call.name ?? ""),
                "arguments": arguments,
            ],
        ]
    }

    /// A duration as answers state it.
    static func nanoseconds(_ duration: Duration) -> ConfigNode {
        let seconds = max(duration.seconds, 0)
        return ConfigNode(Int(exactly: (min(seconds, 9e9) * 1e9).rounded()) ?? 0)
    }
}
