// SPDX-License-Identifier: Apache-2.0
// vLLM's first interface, before it had OpenAI's.
import EftConfig
import EftGeneration
import Synchronization

/// `POST /generate`: texts with the prompt in front; streamed as lines of JSON, each with the whole text so far.
struct GenerateRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/generate"
    // As vLLM reads it, unlike the bodies of its later routes.
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.named(fields)
        try fields.refuseGone()
        guard let prompt = try fields.string("prompt") else {
            throw fields.failure("prompt", "is missing")
        }
        if try fields.bool("use_beam_search") ?? false {
            throw fields.failure("use_beam_search", "is served at /v1/completions only")
        }
        let tokens = try model.encode(prompt, addSpecialTokens: true)
        let asked = try fields.int("max_tokens") ?? 16
        guard asked >= 1 else { throw fields.failure("max_tokens", "must be at least 1") }
        var parameters = try fields.parameters(model)
        try fields.checkLeast(parameters, most: asked)
        parameters.maxTokens = try model.answerLength(asked, prompt: tokens.count)
        parameters.minTokens = min(parameters.minTokens, parameters.maxTokens)
        let samples = try fields.samples(model, parameters)
        let answer = GeneratedTexts(
            prompt, samples: samples, model, responder,
            isStream: try fields.bool("stream") ?? false)
        var engine = try RequestPlacement(fields, named, model).request(
            tokens, parameters,
            try AnswerSink(
                prompt: 0, samples: samples, parameters, model.tokenizer, answer))
        engine.samples = samples
        engine.constraint = try fields.constraint(model)
        try model.submit([engine], responder)
    }
}

/// Gathers the texts, or sends them on as they grow.
private final class GeneratedTexts: AnswerListener {
    private struct State {
        var texts: [String]
        var open: Int
        var stream: ResponseStream?
        var failure: HTTPFailure?
    }

    private let model: ServedModel
    private let responder: Responder
    private let isStream: Bool
    private let state: Mutex<State>

    init(
        _ prompt: String, samples: Int, _ model: ServedModel, _ responder: Responder,
        isStream: Bool
    ) {
        self.model = model
        self.responder = responder
        self.isStream = isStream
        state = Mutex(State(texts: Array(repeating: prompt, count: samples), open: samples))
    }

    func began(prompt: Int, cachedTokens: Int) {}
    func scored(prompt: Int, _ scores: [SampledToken?]) {}

    func grew(prompt: Int, sample: Int, _ piece: AnswerPiece) -> Bool {
        state.withLock { state in
            state.texts[sample] += piece.text
            guard isStream, !piece.text.isEmpty else { return !responder.isCancelled }
            return send(&state)
        }
    }

    func ended(prompt: Int, sample: Int, _ piece: AnswerPiece, _ end: AnswerEnd) {
        state.withLock { state in
            state.texts[sample] += piece.text
            state.open -= 1
            if let error = end.error { state.failure = model.failure(of: error) }
            if isStream, !piece.text.isEmpty { _ = send(&state) }
            guard state.open == 0 else { return }
            if let failure = state.failure, state.stream == nil {
                responder.fail(failure)
            } else if isStream {
                if state.stream == nil { _ = send(&state) }
                if let failure = state.failure { write(failure.json, &state) }
                state.stream?.finish()
            } else {
                responder.respond(.json(["text": ConfigNode(state.texts)]))
            }
        }
    }

    private func send(_ state: inout State) -> Bool {
        write(["text": ConfigNode(state.texts)], &state)
    }

    @discardableResult
    private func write(_ node: ConfigNode, _ state: inout State) -> Bool {
        let stream =
            state.stream ?? responder.stream(fields: ["Content-Type": "application/x-ndjson"])
        state.stream = stream
        return stream.write(JSONWriter.bytes(node, layout: .minimal) + [UInt8(ascii: "\n")])
    }
}
