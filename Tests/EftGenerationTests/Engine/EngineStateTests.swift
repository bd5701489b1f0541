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
        _ core: EngineCore, _ prompts: [[Int32]], temperature: Float = 0, samples: Int = 1
    ) throws -> [Listener.Heard] {
        let listeners = try prompts.map { prompt in
            let listener = Listener(samples: samples)
            var request = EngineRequest(
                prompt: prompt, parameters: EngineRig.parameters(temperature: temperature),
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

    @Test func `a prompt read before is read again`() throws {
        let core = try Self.rig().core()
        let first = try run(core, [Array(10..<44)])[0]
        let second = try run(core, [Array(10..<44)])[0]
        #expect(second.cached == 0 && first.tokens == second.tokens)
        #expect(first.logprobs == second.logprobs)
    }

    @Test func `drafts are refused, for the model and by it`() throws {
        let core = try Self.rig().core()
        #expect(throws: GenerationError.self) { try core.useNGramDrafts() }
        let plain = try EngineRig(model: "architectures/qwen3").core()
        #expect(throws: GenerationError.self) {
            try plain.useDrafts(
                of: Self.rig().decoder(), need: GenerationNeed(contextLength: 64))
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
