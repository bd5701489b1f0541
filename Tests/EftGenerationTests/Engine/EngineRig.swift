// SPDX-License-Identifier: Apache-2.0
// A small engine and a listener that keeps everything it hears.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Synchronization

@testable import EftGeneration

/// Keeps what a request came to.
final class Listener: EngineSink {
    struct Heard: Sendable {
        var tokens: [[Int32]]
        var logprobs: [[Float]]
        var ends: [SampleEnd?]
        var cached: Int?
        var scores: [SampledToken?] = []
        var vector: [Float] = []
    }

    private let state: Mutex<Heard>
    /// Tokens of a sample after which it is to stop; nil to let it go on.
    private let most: Int?

    init(samples: Int = 1, most: Int? = nil) {
        self.most = most
        state = Mutex(
            Heard(
                tokens: Array(repeating: [], count: samples),
                logprobs: Array(repeating: [], count: samples),
                ends: Array(repeating: nil, count: samples)))
    }

    var heard: Heard { state.withLock { $0 } }
    var isDone: Bool { heard.ends.allSatisfy { $0 != nil } }

    func began(cachedTokens: Int) { state.withLock { $0.cached = cachedTokens } }
    func scored(_ prompt: [SampledToken?]) { state.withLock { $0.scores = prompt } }
    func embedded(_ vector: [Float]) { state.withLock { $0.vector = vector } }
    func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
        state.withLock { heard in
            heard.tokens[sample].append(token.token.id)
            heard.logprobs[sample].append(token.token.logprob)
            return most.map { heard.tokens[sample].count < $0 } ?? true
        }
    }
    func ended(_ end: SampleEnd, sample: Int) {
        state.withLock { heard in
            precondition(heard.ends[sample] == nil, "a sample ended twice")
            heard.ends[sample] = end
        }
    }
}

/// A model and the bounds of an engine over it.
struct EngineRig: Sendable {
    var model = "models/gqa-tied"
    var context = 64
    var sequences = 4
    var batch = 64
    var pages = 32
    var threads = 2
    var adapterRank = 0
    var kvType = KVType.bf16
    /// States that are kept for others to go on from, and whether drafts can be taken back, with linear attention.
    var snapshots = 0
    var hasBackups = false
    var configure: @Sendable (inout EngineConfiguration) -> Void = { _ in }

    func decoder() throws -> Decoder {
        let folder = try ModelFolder.open(Fixtures.path(model))
        return try DecoderLoader(folder: folder).load(backend: CPUBackend(threads: threads))
    }

    func core(_ decoder: Decoder? = nil) throws -> EngineCore {
        var configuration = EngineConfiguration(
            maxModelLength: context, maxSequences: sequences, maxBatchedTokens: batch)
        configure(&configuration)
        var need = GenerationNeed(
            contextLength: context, sequences: sequences, prefillChunk: batch, kvType: kvType,
            adapters: AdapterWidths(rank: adapterRank), cachePages: pages,
            logitRows: min(sequences, 3))
        need.stateSnapshots = snapshots
        need.hasStateBackups = hasBackups
        return try EngineCore(
            decoder: decoder ?? self.decoder(), need: need, configuration: configuration)
    }

    static func parameters(
        _ maxTokens: Int = 12, temperature: Float = 0, seed: UInt64 = 3
    ) -> GenerationParameters {
        var parameters = GenerationParameters(
            maxTokens: maxTokens, temperature: temperature, seed: seed)
        parameters.logprobs = 2
        return parameters
    }
}

extension EngineCore {
    /// Makes steps until nothing is left to do, at most so many.
    func drain(steps: Int = 10_000) {
        var left = steps
        while hasWork && left > 0 {
            makeStep()
            left -= 1
        }
        precondition(left > 0, "the engine does not come to an end")
    }
}

/// Keeps what an engine tells of requests and pages.
final class RecordKeeper: EngineObserver {
    private let state = Mutex((ended: [RequestRecord](), events: PageEvents()))

    var ended: [RequestRecord] { state.withLock { $0.ended } }
    var events: PageEvents { state.withLock { $0.events } }

    func stepped(_ step: StepRecord) {
        state.withLock {
            $0.events.reuses += step.pages.reuses
            $0.events.evictions += step.pages.evictions
        }
    }
    func sampledFirst(after: Duration) {}
    func sampledNext(after: Duration) {}
    func ended(_ request: RequestRecord) { state.withLock { $0.ended.append(request) } }
}

/// Counts drafted and accepted tokens.
final class DraftCounter: EngineObserver {
    private let state = Mutex((tokens: 0, accepted: 0))

    var total: (tokens: Int, accepted: Int) { state.withLock { $0 } }

    func stepped(_ step: StepRecord) {
        state.withLock {
            $0.tokens += step.draftTokens
            $0.accepted += step.acceptedAt.reduce(0, +)
        }
    }
    func sampledFirst(after: Duration) {}
    func sampledNext(after: Duration) {}
    func ended(_ request: RequestRecord) {}
}

/// Holds an engine between two steps, so that what is submitted stays in its queue.
final class EngineGate: Sendable {
    private let state: Monitor<(isHeld: Bool, isOpen: Bool)>
    private let holder: WorkerThread

    /// Returns once the engine is held.
    init(_ engine: Engine) throws {
        let state = Monitor((isHeld: false, isOpen: false))
        self.state = state
        holder = try WorkerThread {
            _ = try? engine.perform { _ in
                state.withLock { $0.isHeld = true }
                return state.wait { $0.isOpen ? true : nil }
            }
        }
        _ = state.wait { $0.isHeld ? true : nil }
    }

    /// Lets the engine go on.
    func open() {
        state.withLock { $0.isOpen = true }
        holder.join()
    }
}
