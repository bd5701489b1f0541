// SPDX-License-Identifier: Apache-2.0
// Vectors of texts.
import EftConfig
import EftGeneration
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// `POST /v1/embeddings`: the mean or the last of a text's states, scaled to length 1.
struct EmbeddingsRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/embeddings"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.named(fields)
        let prompts = try CompletionRequest.prompts(fields, model, key: "input")
        let pooling = try pooling(fields)
        let isEncoded = try isEncoded(fields)
        let dimensions = try fields.int("dimensions")
        if let dimensions, dimensions < 1 {
            throw fields.failure("dimensions", "must be at least 1")
        }
        let placement = RequestPlacement(
            named, salt: try fields.cacheSalt(model.options.limits))
        let answer = EmbeddingAnswer(
            prompts, named.name, model, responder, isEncoded: isEncoded, dimensions: dimensions)
        var requests: [EngineRequest] = []
        for (place, prompt) in prompts.enumerated() {
            guard !prompt.isEmpty, prompt.count <= model.maxLength else {
                throw fields.failure(
                    "input",
                    "has a text of \(prompt.count) tokens; 1 to \(model.maxLength) can be read")
            }
            var engine = placement.request(
                prompt, GenerationParameters(maxTokens: 1), EmbeddingAnswer.Sink(answer, place))
            engine.pooling = pooling
            requests.append(engine)
        }
        try model.submit(requests, responder)
    }

    private func pooling(_ fields: RequestFields) throws(HTTPFailure) -> Pooling {
        guard let word = try fields.string("pooling") else { return .mean }
        guard let pooling = Pooling(rawValue: word) else {
            throw fields.failure("pooling", "must be mean or last, not '\(excerpt(word))'")
        }
        return pooling
    }

    private func isEncoded(_ fields: RequestFields) throws(HTTPFailure) -> Bool {
        switch try fields.string("encoding_format") ?? "float" {
        case "float": return false
        case "base64": return true
        case let other:
            throw fields.failure(
                "encoding_format", "must be float or base64, not '\(excerpt(other))'")
        }
    }
}

/// Gathers the vectors of a request.
private final class EmbeddingAnswer: Sendable {
    private struct State {
        var vectors: [[Float]]
        var open: Int
        var failure: HTTPFailure?
    }

    private let tokens: Int
    private let name: String
    private let model: ServedModel
    private let responder: Responder
    private let isEncoded: Bool
    private let dimensions: Int?
    private let state: Mutex<State>

    init(
        _ prompts: [[Int32]], _ name: String, _ model: ServedModel, _ responder: Responder,
        isEncoded: Bool, dimensions: Int?
    ) {
        tokens = prompts.reduce(0) { $0 + $1.count }
        self.name = name
        self.model = model
        self.responder = responder
        self.isEncoded = isEncoded
        self.dimensions = dimensions
        state = Mutex(State(vectors: prompts.map { _ in [] }, open: prompts.count))
    }

    /// Hears of one text.
    final class Sink: EngineSink {
        private let answer: EmbeddingAnswer
        private let place: Int

        init(_ answer: EmbeddingAnswer, _ place: Int) {
            self.answer = answer
            self.place = place
        }

        func embedded(_ vector: [Float]) {
            answer.state.withLock { $0.vectors[place] = answer.unit(vector) }
        }
        func sampled(_ token: GeneratedToken, sample: Int) -> Bool { true }
        func ended(_ end: SampleEnd, sample: Int) { answer.ended(end) }
    }

    /// A vector of length 1, of the first dimensions only when fewer are asked for.
    private func unit(_ vector: [Float]) -> [Float] {
        let part = dimensions.map { Array(vector.prefix($0)) } ?? vector
        let length = part.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? part.map { Float(Double($0) / length) } : part
    }

    private func ended(_ end: SampleEnd) {
        state.withLock { state in
            state.open -= 1
            if let error = end.error {
                state.failure = model.failure(of: error)
            } else if end.reason == .abort {
                state.failure = .unavailable("the request was ended before it was done")
            }
            guard state.open == 0 else { return }
            if let failure = state.failure { responder.fail(failure) } else { respond(state) }
        }
    }

    private func respond(_ state: State) {
        let data = state.vectors.enumerated().map { place, vector -> ConfigNode in
            [
                "object": "embedding", "index": ConfigNode(place),
                "embedding": isEncoded
                    ? ConfigNode(Base64.text(vector.flatMap { littleEndian($0) }))
                    : ConfigNode(vector.map { Double($0) }),
            ]
        }
        responder.respond(
            .json([
                "id": ConfigNode(AnswerHead(prefix: "embd-", object: "list", model: name).id),
                "object": "list", "created": ConfigNode(UnixTime.seconds),
                "model": ConfigNode(name), "data": ConfigNode(data),
                "usage": Usage(prompt: tokens, cached: nil).node,
            ]))
    }

    private func littleEndian(_ value: Float) -> [UInt8] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
}
