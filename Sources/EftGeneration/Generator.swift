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
    /// - Parameter keepingPrefixes: whether a request finds the keys and values of an earlier one that began alike.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, need: GenerationNeed, keepingPrefixes: Bool = false) throws {
        var configuration = EngineConfiguration(
            maxModelLength: need.contextLength, maxSequences: need.sequences,
            maxBatchedTokens: need.rows)
        configuration.prefixCaching = keepingPrefixes
        core = try EngineCore(decoder: decoder, need: need, configuration: configuration)
    }

    /// Tokens that a request may take, prompt and answer; a longer one is refused.
    package var contextLength: Int { core.configuration.maxModelLength }

    /// Collects what one request's sample samples in a step.
    private final class Collector: EngineSink {
        private struct State {
            var tokens: [Int32] = []
            var end: SampleEnd?
            var cached: Int?
        }
        private let state = Mutex(State())

        func began(cachedTokens: Int) { state.withLock { $0.cached = cachedTokens } }

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            if !token.isStop { state.withLock { $0.tokens.append(token.token.id) } }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) { state.withLock { $0.end = end } }

        /// What came since the last call.
        func take() -> (cached: Int?, tokens: [Int32], end: SampleEnd?) {
            state.withLock { state in
                defer { (state.tokens, state.cached) = ([], nil) }
                return (state.cached, state.tokens, state.end)
            }
        }
    }

    /// Continues all requests, as many as the cache has room for at once.
    /// - Parameters:
    ///   - isCancelled: asked after each step; all requests end with `abort` once it says so.
    ///   - onBegin: told how many tokens of a request's prompt were read before, after its first part was read.
    ///   - onToken: told each request's number and new token; returns whether to go on with it.
    /// - Returns: why each request ended.
    /// - Throws: `GenerationError` for requests that cannot be served, and whatever `onToken` throws.
    package func run(
        _ requests: [GenerationRequest], isCancelled: () -> Bool = { false },
        onBegin: (_ request: Int, _ cachedTokens: Int) -> Void = { _, _ in },
        onToken: (_ request: Int, _ token: Int32) throws -> Bool
    ) throws -> [FinishReason] {
        let collectors = requests.map { _ in Collector() }
        let engineRequests = zip(requests, collectors).map(engineRequest)
        for request in engineRequests { try core.check(request) }
        defer { core.cancelAll() }
        let ids = try engineRequests.map { try core.add($0) }
        var reasons = [FinishReason?](repeating: nil, count: requests.count)
        while core.hasWork, !isCancelled() {
            core.makeStep()
            for index in requests.indices where reasons[index] == nil {
                let (cached, tokens, end) = collectors[index].take()
                if let error = end?.error { throw error }
                reasons[index] = end?.reason
                if let cached { onBegin(index, cached) }
                for token in tokens where try !onToken(index, token) {
                    core.cancel(ids[index])
                    reasons[index] = .abort
                }
            }
        }
        return reasons.map { $0 ?? .abort }
    }

    private func engineRequest(
        _ request: GenerationRequest, _ sink: any EngineSink
    ) -> EngineRequest {
        var engine = EngineRequest(
            prompt: request.prompt, parameters: request.parameters, adapters: request.adapters,
            sink: sink)
        // Keys and values under other adapters are other ones. Slots keep their adapters as long as the generator lives.
        engine.root.salt = request.adapters.map(String.init).joined(separator: ",")
        return engine
    }
}
