// SPDX-License-Identifier: Apache-2.0
// An engine that is measured, without a server before it.
import EftGeneration
import EftModels
import EftNN
import EftTensor
import Synchronization

/// A run that was asked to stop.
package struct BenchmarkStopped: Error, Sendable, CustomStringConvertible {
    package let description = "interrupted; there are no figures of a part of a run"

    /// Says so.
    package init() {}
}

/// Bounds of a measured engine.
package struct EngineBenchOptions: Sendable {
    /// Most tokens of a sequence.
    package var maxModelLength: Int
    /// Most sequences in a step.
    package var maxSequences = 64
    /// Most tokens in a step.
    package var maxBatchedTokens = 512
    /// Pages of the cache; as many as all sequences can fill when nil.
    package var pages: Int?
    /// Type of keys and values.
    package var kvType = KVType.bf16
    /// Whether prompts share pages.
    package var prefixCaching = false

    /// States the length; the others are set one by one.
    package init(maxModelLength: Int) { self.maxModelLength = maxModelLength }
}

/// An engine with a clock beside it.
package final class EngineBench {
    /// Whether to stop now.
    package var isStopped: () -> Bool = { false }
    private let core: EngineCore
    private let observer = Observer()

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit the decoder's ledger.
    package init(_ decoder: Decoder, _ options: EngineBenchOptions) throws {
        var configuration = EngineConfiguration(
            maxModelLength: options.maxModelLength, maxSequences: options.maxSequences,
            maxBatchedTokens: options.maxBatchedTokens)
        configuration.prefixCaching = options.prefixCaching
        // A step has no more rows than all sequences can fill.
        let need = GenerationNeed(
            contextLength: options.maxModelLength, sequences: options.maxSequences,
            prefillChunk: configuration.maxBatchedTokens, kvType: options.kvType,
            cachePages: options.pages, logitRows: min(options.maxSequences, 32))
        configuration.maxBatchedTokens = min(configuration.maxBatchedTokens, need.rows)
        core = try EngineCore(decoder: decoder, need: need, configuration: configuration)
        core.observer = observer
    }

    /// Serves requests that all come at once, sampling at temperature 1 and past end tokens.
    /// - Throws: `BenchmarkStopped`, `GenerationError` for prompts that do not fit, and what the engine meets.
    package func run(_ prompts: [RandomPrompt]) throws -> EngineFigures {
        observer.figures.withLock { $0 = EngineFigures() }
        let start = ContinuousClock.now
        let sinks = try prompts.enumerated().map { index, prompt in
            let sink = Sink()
            var parameters = GenerationParameters(
                maxTokens: prompt.outputLength, temperature: 1, seed: UInt64(index))
            parameters.ignoreEOS = true
            try core.add(
                EngineRequest(prompt: prompt.tokens, parameters: parameters, sink: sink),
                arrival: start)
            return sink
        }
        while core.hasWork {
            guard !isStopped() else { throw BenchmarkStopped() }
            core.makeStep()
        }
        var figures = observer.figures.withLock { $0 }
        figures.seconds = (ContinuousClock.now - start).seconds
        for sink in sinks {
            let heard = sink.heard.withLock { $0 }
            if let error = heard.error { throw error }
            figures.outputTokens += heard.tokens
            figures.cachedTokens += heard.cached
        }
        figures.promptTokens = prompts.reduce(0) { $0 + $1.tokens.count }
        return figures
    }

    private final class Sink: EngineSink {
        struct Heard {
            var tokens = 0
            var cached = 0
            var error: (any Error)?
        }
        let heard = Mutex(Heard())

        func began(cachedTokens: Int) { heard.withLock { $0.cached = cachedTokens } }

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            heard.withLock { $0.tokens += 1 }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) {
            guard end.reason != .length else { return }
            let error = end.error ?? GenerationError("a request ended early: \(end.reason)")
            heard.withLock { $0.error = error }
        }
    }

    private final class Observer: EngineObserver {
        let figures = Mutex(EngineFigures())

        func stepped(_ step: StepRecord) { figures.withLock { $0.add(step) } }
        func sampledFirst(after time: Duration) {
            figures.withLock { $0.timesToFirstToken.append(time.seconds) }
        }
        func sampledNext(after time: Duration) {}
        func ended(_ request: RequestRecord) {}
    }
}

/// What an engine's run came to.
package struct EngineFigures: Sendable {
    /// From the first request to the last token.
    package var seconds = 0.0
    /// Tokens of prompts, those found in the cache, and tokens sampled.
    package var promptTokens = 0
    package var cachedTokens = 0
    package var outputTokens = 0
    /// Steps made.
    package var steps = 0
    /// Sequences that gave their pages back.
    package var preemptions = 0
    /// Seconds in the decoder's passes and logits, and in samples.
    package var computing = 0.0
    package var sampling = 0.0
    /// Seconds from a request's arrival to its first token, in the order of the tokens.
    package var timesToFirstToken: [Double] = []
    private var slotShares = 0.0
    private var sharedSteps = 0

    fileprivate mutating func add(_ step: StepRecord) {
        steps += 1
        preemptions += step.preemptions
        computing += step.computing.seconds
        sampling += step.sampling.seconds
        guard step.usedPages > 0 else { return }
        slotShares += Double(step.heldTokens) / Double(step.usedPages * pageTokens)
        sharedSteps += 1
    }

    /// The share of the time in which the decoder does not compute.
    package var overhead: Double { seconds > 0 ? max(0, seconds - computing) / seconds : 0 }
    /// The part of it in which tokens are sampled.
    package var samplingShare: Double { seconds > 0 ? sampling / seconds : 0 }
    /// The share of slots in pages in use that hold a token, as a mean over steps.
    package var slotUse: Double { sharedSteps > 0 ? slotShares / Double(sharedSteps) : 0 }
}
