// SPDX-License-Identifier: Apache-2.0
// The vectors of texts, gathered until all are there.
import EftConfig
import EftGeneration
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Gathers the vectors of a request's texts.
final class EmbeddingAnswer: Sendable {
    private struct State {
        var vectors: [[Float]]
        var open: Int
        var failure: HTTPFailure?
    }

    private let prompts: [[Int32]]
    private let model: ServedModel
    private let responder: Responder
    private let dimensions: Int?
    private let node: @Sendable ([[Float]]) -> ConfigNode
    private let state: Mutex<State>

    /// - Parameters:
    ///   - dimensions: how many of each vector's numbers are kept; nil for all.
    ///   - node: the answer that vectors of length 1 make.
    init(
        _ prompts: [[Int32]], _ model: ServedModel, _ responder: Responder, dimensions: Int?,
        node: @escaping @Sendable ([[Float]]) -> ConfigNode
    ) {
        self.prompts = prompts
        self.model = model
        self.responder = responder
        self.dimensions = dimensions
        self.node = node
        state = Mutex(State(vectors: prompts.map { _ in [] }, open: prompts.count))
    }

    /// What the engine is asked for, one request a text.
    func requests(_ placement: RequestPlacement, _ pooling: Pooling) -> [EngineRequest] {
        prompts.enumerated().map { place, prompt in
            var engine = placement.request(
                prompt, GenerationParameters(maxTokens: 1), Sink(self, place))
            engine.pooling = pooling
            return engine
        }
    }

    /// Hears of one text.
    private final class Sink: EngineSink {
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
            if let failure = state.failure {
                responder.fail(failure)
            } else {
                responder.respond(.json(node(state.vectors)))
            }
        }
    }
}
