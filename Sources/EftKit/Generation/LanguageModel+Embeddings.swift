// SPDX-License-Identifier: Apache-2.0
// Texts as vectors.
import EftGeneration
import Synchronization

/// How the states of a text's tokens become one vector.
public enum EmbeddingPooling: String, Sendable, Hashable {
    /// The mean over all tokens.
    case mean
    /// The last token's state.
    case last
}

extension LanguageModel {
    /// The vectors of texts, each of length 1, from the states of the model's last layer.
    /// - Throws: `EftError`: for a text without tokens or longer than the context.
    public func embeddings(
        _ texts: [String], pooling: EmbeddingPooling = .mean, adapter: String? = nil
    ) async throws(EftError) -> [[Float]] {
        var vectors: [[Float]] = []
        do {
            try await withThrowingTaskGroup(of: (Int, [Float]).self) { group in
                for (place, text) in texts.enumerated() {
                    group.addTask { (place, try await self.embedding(text, pooling, adapter)) }
                }
                vectors = Array(repeating: [], count: texts.count)
                for try await (place, vector) in group { vectors[place] = vector }
            }
        } catch { throw EftError(wrapping: error) }
        return vectors
    }

    private func embedding(
        _ text: String, _ pooling: EmbeddingPooling, _ adapter: String?
    ) async throws -> [Float] {
        let tokens = try encode(text)
        var request = EngineRequest(
            prompt: tokens, parameters: GenerationParameters(maxTokens: 1), sink: Ignored())
        request.pooling = pooling == .mean ? .mean : .last
        if let adapter { request.use(try self.adapter(named: adapter)) }
        let prepared = request
        return try await withCheckedThrowingContinuation { continuation in
            let sink = EmbeddingSink(continuation)
            var request = prepared
            request.sink = sink
            do { _ = try engine.submit(request) } catch { sink.fail(error) }
        }
    }

    /// Stands where a request is not complete yet.
    private final class Ignored: EngineSink {
        func sampled(_ token: GeneratedToken, sample: Int) -> Bool { false }
        func ended(_ end: SampleEnd, sample: Int) {}
    }
}

/// Waits for one vector.
private final class EmbeddingSink: EngineSink {
    private struct State {
        var continuation: CheckedContinuation<[Float], any Error>?
        var vector: [Float] = []
    }
    private let state: Mutex<State>

    init(_ continuation: CheckedContinuation<[Float], any Error>) {
        state = Mutex(State(continuation: continuation))
    }

    func embedded(_ vector: [Float]) { state.withLock { $0.vector = vector } }

    func sampled(_ token: GeneratedToken, sample: Int) -> Bool { true }

    func ended(_ end: SampleEnd, sample: Int) {
        if let error = end.error {
            fail(error)
        } else if end.reason == .abort {
            fail(EftError(.cancelled, "the model was closed before the vector was made"))
        } else {
            let vector = state.withLock(\.vector)
            resume(.success(EmbeddingSink.unit(vector)))
        }
    }

    func fail(_ error: any Error) { resume(.failure(EftError(wrapping: error))) }

    /// Resumes the caller, once.
    private func resume(_ result: Result<[Float], any Error>) {
        let continuation = state.withLock { state in
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(with: result)
    }

    private static func unit(_ vector: [Float]) -> [Float] {
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? vector.map { Float(Double($0) / length) } : vector
    }
}
