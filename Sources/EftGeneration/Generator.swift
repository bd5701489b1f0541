// SPDX-License-Identifier: Apache-2.0
// Continues given prompts, any number at once, and waits for them.
import EftModels
import EftTensor
import Synchronization

/// One prompt and how to continue it.
package struct GenerationRequest: Sendable {
    /// The prompt; at least one token.
    package let prompt: [Int32]
    /// Settings.
    package let parameters: GenerationParameters
    /// Slots of the adapters that act on it.
    package let adapters: [Int]

    /// Makes a request.
    package init(prompt: [Int32], parameters: GenerationParameters, adapters: [Int] = []) {
        self.prompt = prompt
        self.parameters = parameters
        self.adapters = adapters
    }
}

/// Continues prompts. Each sequence's tokens are the same alone and in a batch.
package final class Generator {
    private let core: EngineCore

    /// Takes the memory that `need` states.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, need: GenerationNeed) throws {
        var configuration = EngineConfiguration(
            maxModelLength: need.contextLength, maxSequences: need.sequences,
            maxBatchedTokens: need.rows)
        configuration.prefixCaching = false
        core = try EngineCore(decoder: decoder, need: need, configuration: configuration)
    }

    /// Tokens that a request may take, prompt and answer; a longer one is refused.
    package var contextLength: Int { core.configuration.maxModelLength }

    /// Collects what one request's sample samples in a step.
    private final class Collector: EngineSink {
        private struct State {
            var tokens: [Int32] = []
            var end: SampleEnd?
        }
        private let state = Mutex(State())

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            if !token.isStop { state.withLock { $0.tokens.append(token.token.id) } }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) { state.withLock { $0.end = end } }

        /// What came since the last call.
        func take() -> (tokens: [Int32], end: SampleEnd?) {
            state.withLock { state in
                defer { state.tokens = [] }
                return (state.tokens, state.end)
            }
        }
    }

    /// Continues all requests, as many as the cache has room for at once.
    /// - Parameter onToken: told each request's number and new token; returns whether to go on with it.
    /// - Returns: why each request ended.
    /// - Throws: `GenerationError` for requests that cannot be served, and whatever `onToken` throws.
    package func run(
        _ requests: [GenerationRequest], onToken: (_ request: Int, _ token: Int32) throws -> Bool
    ) throws -> [FinishReason] {
        let collectors = requests.map { _ in Collector() }
        let engineRequests = zip(requests, collectors).map {
            EngineRequest(
                prompt: $0.prompt, parameters: $0.parameters, adapters: $0.adapters, sink: $1)
        }
        for request in engineRequests { try core.check(request) }
        defer { core.cancelAll() }
        let ids = try engineRequests.map { try core.add($0) }
        var reasons = [FinishReason?](repeating: nil, count: requests.count)
        while core.hasWork {
            core.makeStep()
            for index in requests.indices where reasons[index] == nil {
                let (tokens, end) = collectors[index].take()
                if let error = end?.error { throw error }
                reasons[index] = end?.reason
                for token in tokens where try !onToken(index, token) {
                    core.cancel(ids[index])
                    reasons[index] = .abort
                }
            }
        }
        return reasons.map { $0 ?? .abort }
    }
}
