// SPDX-License-Identifier: Apache-2.0
// Completions for a training that learns from rewards of them, or shows and measures them.
import EftGeneration
import EftModels
import EftTensor
import EftTraining
import Synchronization

/// Samples completions with the engine, by the adapter that is trained as it is at the moment.
package final class CompletionEngine: CompletionSource {
    private let core: EngineCore
    private let sampling: CompletionSampling

    /// Takes the memory that the sampling states.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(_ decoder: Decoder, _ sampling: CompletionSampling) throws {
        let need = sampling.need
        var configuration = EngineConfiguration(
            maxModelLength: need.contextLength, maxSequences: need.sequences,
            maxBatchedTokens: need.rows)
        // Weights change between steps: what an earlier prompt left is of another model.
        configuration.prefixCaching = false
        core = try EngineCore(decoder: decoder, need: need, configuration: configuration)
        self.sampling = sampling
    }

    /// Collects the samples of a request.
    private final class Collector: EngineSink {
        struct Sample {
            var tokens: [Int32] = []
            var end: SampleEnd?
        }

        private let samples: Mutex<[Sample]>

        init(_ count: Int) {
            samples = Mutex([Sample](repeating: Sample(), count: count))
        }

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            samples.withLock { $0[sample].tokens.append(token.token.id) }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) { samples.withLock { $0[sample].end = end } }

        /// The samples.
        /// - Throws: what ended one of them.
        func completions() throws -> [SampledCompletion] {
            try samples.withLock { $0 }.map { sample in
                if let error = sample.end?.error { throw error }
                return SampledCompletion(
                    tokens: sample.tokens, isTruncated: sample.end?.reason != .stop)
            }
        }
    }

    package func complete(
        _ requests: [CompletionRequest], pause: () throws -> Void
    ) throws -> [[SampledCompletion]] {
        let collectors = requests.map { Collector($0.samples) }
        defer { core.cancelAll() }
        for (request, collector) in zip(requests, collectors) {
            var engine = EngineRequest(
                prompt: request.prompt, parameters: parameters(request), adapters: sampling.slots,
                sink: collector)
            engine.samples = request.samples
            try core.add(engine)
        }
        while core.hasWork {
            try pause()
            core.makeStep()
        }
        return try collectors.map { try $0.completions() }
    }

    private func parameters(_ request: CompletionRequest) -> GenerationParameters {
        let form = request.form
        var parameters = GenerationParameters(
            maxTokens: form.maxTokens, temperature: Float(form.temperature), topK: form.topK,
            topP: Float(form.topP), minP: Float(form.minP),
            repetitionPenalty: Float(form.repetitionPenalty), seed: request.seed)
        parameters.endTokens = sampling.endTokens
        return parameters
    }
}
