// SPDX-License-Identifier: Apache-2.0
// A request's tokens and probabilities do not depend on the batch, parts, preemption or cache.
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftGeneration

@Suite struct EngineCoreTests {
    private let prompts: [[Int32]] = [
        [1, 2, 3], [7], Array(10..<40), [5, 9, 13, 2, 2], Array(10..<31) + [4, 5],
    ]

    /// What requests come to that are added at once.
    private func run(
        _ rig: EngineRig, _ prompts: [[Int32]], temperature: Float = 0
    ) throws -> (heard: [Listener.Heard], core: EngineCore) {
        let core = try rig.core()
        let listeners = try prompts.map { prompt in
            let listener = Listener()
            try core.add(
                EngineRequest(
                    prompt: prompt, parameters: EngineRig.parameters(temperature: temperature),
                    sink: listener))
            return listener
        }
        core.drain()
        return (listeners.map(\.heard), core)
    }

    static let rigs: [(String, EngineRig)] = [
        ("one at a time", EngineRig(sequences: 1, pages: 4)),
        ("all at once", EngineRig(sequences: 8, pages: 64)),
        ("small parts", EngineRig(sequences: 3, batch: 3)),
        ("odd parts", EngineRig(sequences: 4, batch: 7)),
        ("too few pages", EngineRig(sequences: 5, pages: 5)),
        ("barely a page more", EngineRig(sequences: 5, batch: 11, pages: 6)),
        ("no prefix cache", EngineRig(pages: 7, configure: { $0.prefixCaching = false })),
        ("short prefill", EngineRig(configure: { $0.longPrefillThreshold = 4 })),
        ("one thread", EngineRig(threads: 1)),
    ]

    @Test(arguments: [Float(0), 1], EngineCoreTests.rigs.map(\.0))
    func `tokens and probabilities do not depend on the batch`(
        _ temperature: Float, _ name: String
    ) throws {
        let rig = try #require(Self.rigs.first { $0.0 == name }?.1)
        let alone = try prompts.map {
            try run(EngineRig(sequences: 1), [$0], temperature: temperature).heard[0]
        }
        let (heard, core) = try run(rig, prompts + prompts, temperature: temperature)
        for (index, one) in heard.enumerated() {
            #expect(one.tokens == alone[index % prompts.count].tokens)
            #expect(one.logprobs == alone[index % prompts.count].logprobs)
            #expect(one.ends[0]?.reason == .length && one.tokens[0].count == 12)
        }
        #expect(core.cache.freePages == core.cache.pageCount)
        let held = core.cache.withTable { $0.sequences }
        #expect(held == 0)
        if name == "too few pages" { #expect(core.scheduler.preemptions > 0) }
        if name == "all at once" { #expect(core.scheduler.preemptions == 0) }
    }

    /// What turns an engine into one that speculates.
    enum Drafting: String, CaseIterable {
        case ngram
        /// The model itself: all greedy drafts come true.
        case same
        /// Another model of the same vocabulary: few do.
        case other
    }

    @Test(arguments: [Float(0), 1], Drafting.allCases)
    func `drafts change nothing but the number of steps`(
        _ temperature: Float, _ drafting: Drafting
    ) throws {
        let periodic: [Int32] = (0..<40).map { Int32(5 + $0 % 4) }
        let all = prompts + [periodic]
        var plain = EngineRig(sequences: 6, pages: 40)
        let expected = try run(plain, all, temperature: temperature)
        for pages in [40, 9] {
            plain.pages = pages
            plain.configure = { $0.draftTokens = 3 }
            let core = try plain.core()
            switch drafting {
            case .ngram: try core.useNGramDrafts()
            case .same, .other:
                let draft = EngineRig(model: drafting == .same ? plain.model : "models/bias")
                try core.useDrafts(
                    of: draft.decoder(),
                    need: GenerationNeed(contextLength: 68, sequences: 6, prefillChunk: 16))
            }
            let counter = DraftCounter()
            core.observer = counter
            let listeners = try all.map { prompt in
                let listener = Listener()
                try core.add(
                    EngineRequest(
                        prompt: prompt,
                        parameters: EngineRig.parameters(temperature: temperature),
                        sink: listener))
                return listener
            }
            core.drain()
            for (listener, one) in zip(listeners, expected.heard) {
                #expect(listener.heard.tokens == one.tokens)
                #expect(listener.heard.logprobs == one.logprobs)
            }
            let (tokens, accepted) = counter.total
            #expect(accepted <= tokens)
            if drafting == .same {
                // Both sample with the same numbers from the same logits.
                #expect(tokens > 0 && accepted == tokens)
                if pages == 40 { #expect(core.steps < expected.core.steps) }
            }
            #expect(core.cache.freePages == core.cache.pageCount)
        }
    }

    @Test func `a prompt read before is found, and the answer stays the same`() throws {
        let core = try EngineRig().core()
        let prompt: [Int32] = Array(10..<44)
        var tokens: [[Int32]] = []
        for expected in [0, 32, 32] {
            let listener = Listener()
            try core.add(
                EngineRequest(prompt: prompt, parameters: EngineRig.parameters(), sink: listener))
            core.drain()
            #expect(listener.heard.cached == expected)
            tokens.append(listener.heard.tokens[0])
        }
        #expect(Set(tokens).count == 1)
        // The answer is found too, as the prompt of a next turn.
        let listener = Listener()
        try core.add(
            EngineRequest(
                prompt: prompt + tokens[0] + [1, 2, 3], parameters: EngineRig.parameters(),
                sink: listener))
        core.drain()
        // Of 46 tokens with keys and values, two pages are full.
        #expect(listener.heard.cached == 32)
        var salted = EngineRequest(
            prompt: prompt, parameters: EngineRig.parameters(), sink: Listener())
        let other = Listener()
        salted.sink = other
        salted.root.salt = "secret"
        try core.add(salted)
        core.drain()
        #expect(other.heard.cached == 0 && other.heard.tokens[0] == tokens[0])
    }

    @Test func `a request for one token leaves its prompt to be found`() throws {
        let core = try EngineRig().core()
        var cached: [Int?] = []
        for _ in 0..<2 {
            let listener = Listener()
            try core.add(
                EngineRequest(
                    prompt: Array(10..<44), parameters: EngineRig.parameters(1), sink: listener))
            core.drain()
            cached.append(listener.heard.cached)
        }
        #expect(cached == [0, 32])
    }

    @Test func `samples share the prompt and sample apart`() throws {
        let rig = EngineRig(sequences: 6, pages: 64)
        let core = try rig.core()
        let many = Listener(samples: 4)
        var request = EngineRequest(
            prompt: Array(10..<45), parameters: EngineRig.parameters(temperature: 1), sink: many)
        request.samples = 4
        try core.add(request)
        core.makeStep()
        // Only the first sample reads the prompt.
        #expect(core.scheduler.running.count == 1)
        core.makeStep()
        #expect(core.scheduler.running.count == 4)
        #expect(core.cache.pageCount - core.cache.freePages == 2 + 4)
        core.drain()
        for sample in 0..<4 {
            let one = Listener()
            try core.add(
                EngineRequest(
                    prompt: request.prompt,
                    parameters: EngineRig.parameters(temperature: 1, seed: 3 + UInt64(sample)),
                    sink: one))
            core.drain()
            #expect(one.heard.tokens[0] == many.heard.tokens[sample])
        }
        #expect(Set(many.heard.tokens).count > 1)
    }

    @Test func `a listener, a stop token and a cancellation end a sample`() throws {
        let core = try EngineRig().core()
        let free = Listener()
        try core.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: free))
        let short = Listener(most: 5)
        try core.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: short))
        core.drain()
        let tokens = free.heard.tokens[0]
        #expect(short.heard.tokens[0] == Array(tokens.prefix(5)))
        #expect(short.heard.ends[0]?.reason == .stop && short.heard.ends[0]?.stopToken == nil)

        var parameters = EngineRig.parameters()
        parameters.stopTokens = [tokens[4]]
        let stopped = Listener()
        try core.add(EngineRequest(prompt: [1, 2, 3], parameters: parameters, sink: stopped))
        core.drain()
        let first = try #require(tokens.firstIndex(of: tokens[4]))
        #expect(stopped.heard.tokens[0] == Array(tokens.prefix(first + 1)))
        #expect(stopped.heard.ends[0]?.stopToken == tokens[4])

        let gone = Listener(samples: 2)
        var request = EngineRequest(
            prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: gone)
        request.samples = 2
        let id = try core.add(request)
        core.makeStep()
        core.cancel(id)
        core.cancel(id)
        #expect(gone.heard.ends.map { $0?.reason } == [.abort, .abort])
        #expect(!core.hasWork && core.cache.freePages == core.cache.pageCount)
    }

    @Test func `logits that are no numbers end a request, which is told apart`() throws {
        let folder = try TemporaryFolder()
        let whole = Fixtures.path("models/gqa-tied")
        for name in ["config.json", "model.safetensors"] {
            let path = FileSystem.join(whole, name)
            var bytes = try FileSystem.read(path)
            if name == "model.safetensors" {
                let place = try #require(
                    try SafetensorsFile(path: path).place(of: "model.norm.weight"))
                // The largest numbers: products of them are infinite.
                for at in place.bytes { bytes[at] = 0x7f }
            }
            try folder.write(name, bytes)
        }
        let decoder = try DecoderLoader(folder: ModelFolder.open(folder.path))
            .load(backend: CPUBackend(threads: 1))
        let (records, listener) = (RecordKeeper(), Listener())
        let core = try EngineRig().core(decoder)
        core.observer = records
        try core.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: listener))
        core.drain()
        let end = try #require(listener.heard.ends[0])
        #expect(end.reason == .error && end.error as? SamplingError == .damagedLogits)
        #expect(records.ended.map(\.isDamaged) == [true])

        let (others, heard) = (RecordKeeper(), Listener())
        let sound = try EngineRig().core()
        sound.observer = others
        try sound.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: heard))
        sound.drain()
        #expect(others.ended.map(\.isDamaged) == [false])
    }

    @Test func `pages that are found again and pages that make room are told of`() throws {
        let core = try EngineRig(sequences: 1, pages: 4).core()
        let records = RecordKeeper()
        core.observer = records
        func run(_ prompt: [Int32]) throws {
            try core.add(
                EngineRequest(
                    prompt: prompt, parameters: EngineRig.parameters(1), sink: Listener()))
            core.drain()
        }
        let prompt = (0..<33).map { Int32($0 % 11) }
        try run(prompt)
        #expect(records.events.reuses.isEmpty && records.events.evictions.isEmpty)
        try run(prompt)
        #expect(records.events.reuses.count == 2 && records.events.evictions.isEmpty)
        // Another prompt takes all pages.
        try run((0..<60).map { Int32($0 % 7) })
        #expect(records.events.reuses.count == 2 && records.events.evictions.count == 2)
        #expect(records.events.evictions.allSatisfy { $0.lifetime >= $0.idle && $0.idle > .zero })
    }

    @Test func `a request whose time is up ends with what it has`() throws {
        let core = try EngineRig(sequences: 1).core()
        let late = Listener()
        var request = EngineRequest(
            prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: late)
        request.deadline = .now
        try core.add(request)
        let other = Listener()
        try core.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: other))
        core.drain()
        #expect(late.heard.ends[0]?.reason == .abort && late.heard.tokens[0].isEmpty)
        #expect(other.heard.ends[0]?.reason == .length)
    }

    @Test func `priority decides who runs first, and who gives way`() throws {
        var rig = EngineRig(sequences: 1)
        rig.configure = { $0.policy = .priority }
        let core = try rig.core()
        var order: [Int] = []
        let listeners = [3, 1, 2].map { ($0, Listener()) }
        for (priority, listener) in listeners {
            var request = EngineRequest(
                prompt: [1, 2, 3], parameters: EngineRig.parameters(3), sink: listener)
            request.priority = priority
            try core.add(request)
        }
        while core.hasWork {
            core.makeStep()
            for (priority, listener) in listeners
            where listener.isDone && !order.contains(priority) {
                order.append(priority)
            }
        }
        #expect(order == [1, 2, 3])
    }

    @Test func `the prompt is scored as it would be sampled`() throws {
        let core = try EngineRig(batch: 9).core()
        let free = Listener()
        try core.add(
            EngineRequest(prompt: [1, 2, 3], parameters: EngineRig.parameters(), sink: free))
        core.drain()
        let whole = [1, 2, 3] + free.heard.tokens[0]
        for rig in [EngineRig(batch: 64), EngineRig(batch: 4)] {
            let core = try rig.core()
            var parameters = EngineRig.parameters(1)
            parameters.promptLogprobs = 1
            let listener = Listener()
            try core.add(EngineRequest(prompt: whole, parameters: parameters, sink: listener))
            core.drain()
            let scores = listener.heard.scores
            #expect(scores.count == whole.count && scores[0] == nil)
            for (score, token) in zip(scores.dropFirst(), whole.dropFirst()) {
                #expect(score?.id == token)
            }
            #expect(scores.dropFirst(3).map { $0?.logprob } == free.heard.logprobs[0])
        }
    }

    @Test func `a prompt's states become a vector in any number of parts`() throws {
        let prompt: [Int32] = Array(10..<40)
        for pooling in Pooling.allCases {
            var vectors: [[Float]] = []
            for batch in [64, 7, 1] {
                let core = try EngineRig(sequences: 1, batch: batch).core()
                let listener = Listener()
                var request = EngineRequest(
                    prompt: prompt, parameters: EngineRig.parameters(), sink: listener)
                request.pooling = pooling
                try core.add(request)
                core.drain()
                vectors.append(listener.heard.vector)
                #expect(listener.heard.ends[0]?.reason == .stop)
            }
            #expect(vectors[0].contains { $0 != 0 })
            #expect(vectors[1] == vectors[0] && vectors[2] == vectors[0])
        }
    }

    @Test func `requests that cannot be served are refused`() throws {
        let core = try EngineRig().core()
        func add(_ prompt: [Int32], _ maxTokens: Int = 5) throws {
            try core.add(
                EngineRequest(
                    prompt: prompt, parameters: EngineRig.parameters(maxTokens),
                    sink: Listener()))
        }
        #expect(throws: GenerationError.self) { try add([]) }
        #expect(throws: GenerationError.self) { try add([-1]) }
        #expect(throws: GenerationError.self) { try add([1_000_000]) }
        #expect(throws: GenerationError.self) { try add(Array(0..<60)) }
        #expect(throws: GenerationError.self) { try add([1], .max) }
        #expect(!core.hasWork)
    }
}
