// SPDX-License-Identifier: Apache-2.0
// Models whose layers keep states: a request's answer depends on nothing but the request.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftGeneration

@Suite struct EngineStateTests {
    private let prompts: [[Int32]] = [
        [1, 2, 3], [7], Array(10..<40), [5, 9, 13, 2, 2], Array(10..<31) + [4, 5],
    ]

    private static func rig(
        _ model: String = "qwen3-next", sequences: Int = 4, batch: Int = 64, pages: Int = 32,
        threads: Int = 2
    ) -> EngineRig {
        EngineRig(
            model: "architectures/" + model, sequences: sequences, batch: batch, pages: pages,
            threads: threads)
    }

    private func run(
        _ core: EngineCore, _ prompts: [[Int32]], tokens: Int = 12, temperature: Float = 0,
        samples: Int = 1
    ) throws -> [Listener.Heard] {
        let listeners = try prompts.map { prompt in
            let listener = Listener(samples: samples)
            var request = EngineRequest(
                prompt: prompt, parameters: EngineRig.parameters(tokens, temperature: temperature),
                sink: listener)
            request.samples = samples
            try core.add(request)
            return listener
        }
        core.drain()
        return listeners.map(\.heard)
    }

    @Test(
        arguments: [
            ("one at a time", rig(sequences: 1, pages: 4)),
            ("all at once", rig(sequences: 8, pages: 64)),
            ("small parts", rig(sequences: 3, batch: 3)),
            ("odd parts", rig(sequences: 4, batch: 7)),
            ("too few pages", rig(sequences: 5, pages: 5)),
            ("one thread", rig(threads: 1)),
            ("linear attention last", rig("qwen3-5-moe", batch: 9)),
            ("short convolutions", rig("lfm2", sequences: 3, batch: 7)),
            ("short convolutions of 4 rows", rig("lfm2-moe", batch: 3)),
            ("state spaces", rig("granitemoehybrid", sequences: 3, batch: 7)),
            ("state spaces last", rig("granitemoehybrid-dense", batch: 3)),
        ] as [(String, EngineRig)])
    func `tokens and probabilities do not depend on the batch`(
        _ name: String, _ rig: EngineRig
    ) throws {
        for temperature: Float in [0, 1] {
            let alone = try prompts.map {
                try run(single(rig).core(), [$0], temperature: temperature)[0]
            }
            let core = try rig.core()
            // Once more in the same engine, whose states hold what was there before.
            for _ in 0..<2 {
                let heard = try run(core, prompts + prompts, temperature: temperature)
                for (index, one) in heard.enumerated() {
                    #expect(one.tokens == alone[index % prompts.count].tokens, "\(name)")
                    #expect(one.logprobs == alone[index % prompts.count].logprobs)
                    #expect(one.cached == 0)
                }
                core.giveBackMemory(unusedSince: .now)
            }
            #expect(core.cache.freePages == core.cache.pageCount)
            if name == "too few pages" { #expect(core.scheduler.preemptions > 0) }
        }
    }

    private func single(_ rig: EngineRig) -> EngineRig {
        var alone = rig
        (alone.sequences, alone.batch, alone.pages) = (1, 64, 32)
        return alone
    }

    @Test func `samples of a request read its prompt each for itself`() throws {
        let heard = try run(Self.rig().core(), [Array(10..<44)], temperature: 1, samples: 3)[0]
        var parameters = EngineRig.parameters(temperature: 1)
        for sample in 0..<3 {
            parameters.seed = 3 + UInt64(sample)
            let listener = Listener()
            let core = try Self.rig().core()
            try core.add(
                EngineRequest(prompt: Array(10..<44), parameters: parameters, sink: listener))
            core.drain()
            #expect(heard.tokens[sample] == listener.heard.tokens[0])
        }
    }

    @Test func `a prompt read before is read again where no state is kept`() throws {
        let core = try Self.rig().core()
        let first = try run(core, [Array(10..<44)])[0]
        let second = try run(core, [Array(10..<44)])[0]
        #expect(second.cached == 0 && first.tokens == second.tokens)
        #expect(first.logprobs == second.logprobs)
    }

    /// An engine that keeps states, with room for longer texts.
    private static func keeping(
        _ snapshots: Int, model: String = "qwen3-next", sequences: Int = 3, batch: Int = 11,
        pages: Int = 40
    ) -> EngineRig {
        var rig = rig(model, sequences: sequences, batch: batch, pages: pages)
        rig.context = 120
        rig.snapshots = snapshots
        return rig
    }

    private func prompt(_ count: Int, seed: Int = 0) -> [Int32] {
        (0..<count).map { Int32(($0 * 7 + $0 / 5 + seed) % 42 + 3) }
    }

    /// What a request comes to that finds nothing.
    private func anew(_ prompt: [Int32], tokens: Int = 12, model: String = "qwen3-next") throws
        -> Listener.Heard
    {
        try run(Self.keeping(0, model: model).core(), [prompt], tokens: tokens)[0]
    }

    private func expectEqual(_ one: Listener.Heard, _ other: Listener.Heard) {
        #expect(one.tokens == other.tokens && one.logprobs == other.logprobs)
        #expect(one.ends[0]?.error == nil)
    }

    @Test(arguments: ["qwen3-next", "qwen3-5", "qwen3-5-moe"])
    func `a conversation goes on from the end of its answer, or of its prompt`(
        _ model: String
    ) throws {
        let core = try Self.keeping(2, model: model).core()
        let first = try run(core, [prompt(37)], tokens: 33)[0]
        #expect(first.cached == 0)
        expectEqual(first, try anew(prompt(37), tokens: 33, model: model))
        // 69 of the 70 tokens were computed: 64 fill pages.
        let next = prompt(37) + first.tokens[0] + prompt(6, seed: 1)
        let second = try run(core, [next])[0]
        #expect(second.cached == 64)
        expectEqual(second, try anew(next, model: model))
        // Another answer to the second prompt, whose last full page is the fourth.
        let other = next.prefix(76) + prompt(8, seed: 5)
        let third = try run(core, [Array(other)])[0]
        #expect(third.cached == 64)
        expectEqual(third, try anew(Array(other), model: model))
        // The first prompt's states had to make room.
        let again = try run(core, [prompt(37)], tokens: 33)[0]
        expectEqual(again, first)
    }

    @Test func `the end of a prompt stays while its answer is long`() throws {
        let core = try Self.keeping(2).core()
        _ = try run(core, [prompt(37)], tokens: 70)
        let other = prompt(37) + prompt(9, seed: 3)
        let heard = try run(core, [other])[0]
        #expect(heard.cached == 32)
        expectEqual(heard, try anew(other))
    }

    @Test func `requests that run at once and wait for each other find only what is theirs`() throws
    {
        let prompts = (0..<4).flatMap { seed in
            [prompt(40, seed: seed), prompt(40, seed: seed) + prompt(5, seed: 9)]
        }
        let expected = try prompts.map { try anew($0, tokens: 20) }
        for (snapshots, pages) in [(1, 40), (3, 14), (16, 40)] {
            let core = try Self.keeping(snapshots, pages: pages).core()
            for _ in 0..<2 {
                for (heard, one) in zip(try run(core, prompts, tokens: 20), expected) {
                    expectEqual(heard, one)
                }
            }
            #expect(core.cache.freePages == core.cache.pageCount)
        }
    }

    @Test func `samples of a request go on from its prompt where its state is kept`() throws {
        let core = try Self.keeping(2).core()
        let keeper = RecordKeeper()
        core.observer = keeper
        let heard = try run(core, [prompt(44)], temperature: 1, samples: 3)[0]
        var parameters = EngineRig.parameters(temperature: 1)
        for sample in 0..<3 {
            parameters.seed = 3 + UInt64(sample)
            let listener = Listener()
            let own = try Self.keeping(0).core()
            try own.add(
                EngineRequest(prompt: prompt(44), parameters: parameters, sink: listener))
            own.drain()
            #expect(heard.tokens[sample] == listener.heard.tokens[0])
        }
        // Each sample but the first finds two pages.
        #expect(keeper.events.reuses.count >= 4)
    }

    @Test func `states that are given back are not found`() throws {
        let core = try Self.keeping(2).core()
        _ = try run(core, [prompt(37)])
        core.giveBackMemory(unusedSince: .now)
        let heard = try run(core, [prompt(37)])[0]
        #expect(heard.cached == 0)
        expectEqual(heard, try anew(prompt(37)))
    }

    @Test(arguments: [Float(0), 1], ["ngram", "same", "other", "plain"])
    func `drafts that come true and drafts that do not change nothing`(
        _ temperature: Float, _ drafting: String
    ) throws {
        let periodic: [Int32] = (0..<40).map { Int32(5 + $0 % 4) }
        let prompts = [prompt(30), periodic, prompt(5), periodic + prompt(3)]
        let plain = Self.keeping(0)
        let expected = try prompts.map {
            try run(plain.core(), [$0], tokens: 50, temperature: temperature)[0]
        }
        for (snapshots, pages) in [(0, 40), (4, 40), (2, 13)] {
            var rig = Self.keeping(snapshots, batch: 17, pages: pages)
            rig.hasBackups = true
            rig.configure = { $0.draftTokens = 4 }
            let core = try rig.core()
            if drafting == "ngram" {
                try core.useNGramDrafts()
            } else {
                // The same model, one of the same form, and one with a window, of the same vocabulary.
                let names = ["same": "qwen3-next", "other": "qwen3-5-moe", "plain": "gemma3"]
                let draft = Self.rig(names[drafting] ?? "", pages: 40)
                var need = GenerationNeed(contextLength: 126, sequences: 3, prefillChunk: 16)
                need.hasStateBackups = true
                try core.useDrafts(of: draft.decoder(), need: need)
            }
            let counter = DraftCounter()
            core.observer = counter
            let heard = try run(core, prompts, tokens: 50, temperature: temperature)
            for (one, other) in zip(heard, expected) { expectEqual(one, other) }
            let (tokens, accepted) = counter.total
            #expect(accepted <= tokens)
            if drafting != "ngram" || temperature == 0 { #expect(tokens > 0) }
            if drafting == "same" { #expect(accepted == tokens) }
            #expect(core.cache.freePages == core.cache.pageCount)
        }
    }

    @Test func `drafts are refused where no memory was taken to take them back`() throws {
        let core = try Self.rig().core()
        #expect(throws: GenerationError.self) { try core.useNGramDrafts() }
        let plain = try EngineRig(model: "architectures/qwen3").core()
        #expect(throws: GenerationError.self) {
            try plain.useDrafts(
                of: Self.rig().decoder(), need: GenerationNeed(contextLength: 64))
        }
    }

    @Test func `states, copies and places to go back to are in the plan and in the ledger`() throws
    {
        let ledger = MemoryLedger()
        let folder = try ModelFolder.open(Fixtures.path("architectures/qwen3-next"))
        let decoder = try DecoderLoader(folder: folder).load(
            backend: CPUBackend(ledger: ledger, threads: 1))
        let mixer = try #require(decoder.description.shape.mixer)
        for (snapshots, hasBackups, places) in [(0, false, 3), (5, false, 8), (2, true, 8)] {
            var need = GenerationNeed(contextLength: 32, sequences: 3, prefillChunk: 8)
            need.stateSnapshots = snapshots
            need.hasStateBackups = hasBackups
            let cache = try decoder.cache(need)
            let page = KVType.bf16.pageBytes(kvHeads: 2, headDim: 8)
            let bytes = 6 * page + places * mixer.stateFloats * 4
            #expect(ledger.current[.kvCache] == bytes && cache.keepsStates)
            #expect(
                need.memory(decoder.description, part: decoder.description.wholePart)[.kvCache]
                    == bytes)
        }
    }

    @Test func `more sequences than states are refused`() throws {
        var configuration = EngineConfiguration(
            maxModelLength: 32, maxSequences: 3, maxBatchedTokens: 3)
        configuration.prefixCaching = false
        let need = GenerationNeed(contextLength: 32, sequences: 2, prefillChunk: 8)
        #expect(throws: GenerationError.self) {
            try EngineCore(decoder: Self.rig().decoder(), need: need, configuration: configuration)
        }
    }
}
