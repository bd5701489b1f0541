// SPDX-License-Identifier: Apache-2.0
// Layers with a window give pages back: answers stay what they are, memory does not grow.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftGeneration

@Suite struct EngineWindowTests {
    /// Which layers have a window.
    enum Form: String, CaseIterable {
        /// Two windows, and a layer that sees all positions.
        case mixed
        /// One window in all layers.
        case all
    }

    private static func description(_ form: Form) -> DecoderDescription {
        var description = DecoderDescription(
            architecture: "LlamaForCausalLM", vocabulary: 61, layers: 3,
            shape: DecoderShape(
                hidden: 48, intermediate: 80, heads: 4, kvHeads: 2, headDim: 32,
                normEpsilon: 1e-5),
            rotary: RotaryEmbedding(headDim: 32, theta: 10000, scaling: .none),
            contextLength: 512, tiedEmbeddings: false, queryKeyValueBias: false,
            outputBias: false, mlpBias: false, initializerRange: 0.2)
        description.kinds =
            form == .all
            ? Array(repeating: LayerKind(window: 20), count: 3)
            : [LayerKind(window: 20), LayerKind(), LayerKind(window: 37)]
        return description
    }

    /// An engine's bounds.
    struct Bounds: Sendable {
        var form = Form.mixed
        var sequences = 1
        var rows = 24
        var pages = 32
        var kvType = KVType.bf16
        var drafts = 0
        /// Whether layers with a window keep all pages, as those that see all positions do.
        var keepsAll = false
    }

    private func makeCore(_ bounds: Bounds) throws -> EngineCore {
        let decoder = try Decoder.random(
            Self.description(bounds.form), seed: 4, backend: CPUBackend(threads: 2))
        var need = GenerationNeed(
            contextLength: 480, sequences: bounds.sequences, prefillChunk: bounds.rows,
            kvType: bounds.kvType, cachePages: bounds.pages, logitRows: 3)
        if bounds.keepsAll { need.ahead = 1 << 20 }
        var configuration = EngineConfiguration(
            maxModelLength: 480, maxSequences: bounds.sequences, maxBatchedTokens: bounds.rows)
        configuration.draftTokens = bounds.drafts
        return try EngineCore(decoder: decoder, need: need, configuration: configuration)
    }

    private func prompt(_ count: Int, seed: Int = 0) -> [Int32] {
        (0..<count).map { Int32(($0 * 7 + $0 / 5 + seed) % 61) }
    }

    private func run(
        _ core: EngineCore, _ prompts: [[Int32]], tokens: Int = 60, temperature: Float = 0
    ) throws -> [Listener.Heard] {
        let listeners = try prompts.map { prompt in
            let listener = Listener()
            try core.add(
                EngineRequest(
                    prompt: prompt,
                    parameters: EngineRig.parameters(tokens, temperature: temperature),
                    sink: listener))
            return listener
        }
        core.drain()
        return listeners.map(\.heard)
    }

    private func expectEqual(_ one: [Listener.Heard], _ other: [Listener.Heard]) {
        for (one, other) in zip(one, other) {
            #expect(one.tokens == other.tokens && one.logprobs == other.logprobs)
            #expect(one.ends[0]?.error == nil)
        }
    }

    /// Pages in use in each group of layers.
    private func used(_ core: EngineCore) -> [Int] {
        let plan = GenerationNeed(
            contextLength: 480, sequences: core.configuration.maxSequences,
            prefillChunk: core.configuration.maxBatchedTokens, cachePages: core.cache.pageCount
        ).pagePlan(core.decoder.description)
        let free = core.cache.withTable { $0.groups }.map(\.free)
        return zip(plan.groups, free).map { $0.pages - $1 }
    }

    @Test(arguments: Form.allCases, [KVType.f32, .bf16, .q8, .q6, .q4])
    func `answers have the same bits as where nothing is given back`(
        _ form: Form, _ kvType: KVType
    ) throws {
        let prompts = [prompt(3), prompt(150), prompt(200, seed: 9), prompt(47, seed: 3)]
        var bounds = Bounds(form: form, kvType: kvType, keepsAll: true)
        let expected = try prompts.map { try run(makeCore(bounds), [$0])[0] }
        bounds.keepsAll = false
        for (sequences, rows, pages) in [(1, 24, 32), (4, 7, 60), (3, 60, 34), (2, 1, 30)] {
            (bounds.sequences, bounds.rows, bounds.pages) = (sequences, max(rows, sequences), pages)
            let core = try makeCore(bounds)
            #expect(core.cache.withTable { $0.groups.count } > 1)
            expectEqual(try run(core, prompts), expected)
            #expect(core.cache.freePages == core.cache.pageCount)
            #expect(used(core).allSatisfy { $0 == 0 })
        }
    }

    @Test func `sequences that give their pages back and read again say the same`() throws {
        let prompts = (0..<4).map { prompt(120 + $0, seed: $0) }
        let expected = try prompts.map {
            try run(makeCore(Bounds(keepsAll: true)), [$0], tokens: 100, temperature: 1)[0]
        }
        let core = try makeCore(Bounds(sequences: 4, rows: 40, pages: 34))
        expectEqual(try run(core, prompts, tokens: 100, temperature: 1), expected)
        #expect(core.scheduler.preemptions > 0)
    }

    @Test func `what a long answer holds of a window does not grow`() throws {
        let core = try makeCore(Bounds())
        let listener = Listener()
        try core.add(
            EngineRequest(
                prompt: prompt(30), parameters: EngineRig.parameters(400), sink: listener))
        var most = [0, 0, 0]
        while core.hasWork {
            core.makeStep()
            most = zip(most, used(core)).map { max($0, $1) }
        }
        #expect(listener.heard.tokens[0].count == 400)
        // All positions; 20 and 37 positions with begun pages at both ends.
        #expect(most == [27, 3, 4])
        // The rest of what the plan has is resident at most.
        let need = GenerationNeed(contextLength: 480, prefillChunk: 24, cachePages: 32)
        let bytes = need.cacheBytes(core.decoder.description, layers: 0..<3)
        #expect(core.cache.residentBytes <= bytes)
        let page = KVType.bf16.pageBytes(kvHeads: 2, headDim: 32)
        #expect(bytes == (32 + (2 * 4 + 2) + (2 * 5 + 2)) * page)
    }

    @Test(arguments: Form.allCases)
    func `a conversation goes on, is cut and goes on another way`(_ form: Form) throws {
        let core = try makeCore(Bounds(form: form))
        var conversation = prompt(100)
        let first = try run(core, [conversation], tokens: 120)[0]
        #expect(first.cached == 0)
        // The next turn reads what is new.
        conversation += first.tokens[0] + prompt(10, seed: 1)
        let second = try run(core, [conversation], tokens: 20)[0]
        #expect(second.cached == 208)
        expectEqual([second], try run(makeCore(Bounds(form: form)), [conversation], tokens: 20))
        // The same question once more.
        let again = try run(core, [prompt(100)], tokens: 20)[0]
        #expect(again.tokens[0] == Array(first.tokens[0].prefix(20)))
        // A cut where nothing of the windows is left any more: it is read again, and right.
        let cut = Array(conversation.prefix(160)) + prompt(20, seed: 7)
        let third = try run(core, [cut], tokens: 20)[0]
        expectEqual([third], try run(makeCore(Bounds(form: form)), [cut], tokens: 20))
        #expect((third.cached ?? 0) < 160)
    }

    @Test func `an answer of another length leaves the end of the prompt`() throws {
        let core = try makeCore(Bounds())
        // Far more tokens than the spare pages hold.
        _ = try run(core, [prompt(100)], tokens: 300)
        let heard = try run(core, [prompt(100) + prompt(9, seed: 2)], tokens: 20)[0]
        #expect(heard.cached == 96)
        expectEqual(
            [heard],
            try run(makeCore(Bounds()), [prompt(100) + prompt(9, seed: 2)], tokens: 20))
    }

    @Test func `samples of a request share its prompt`() throws {
        let core = try makeCore(Bounds(sequences: 3, rows: 24, pages: 60))
        let listener = Listener(samples: 3)
        var request = EngineRequest(
            prompt: prompt(200), parameters: EngineRig.parameters(40, temperature: 1),
            sink: listener)
        request.samples = 3
        try core.add(request)
        core.drain()
        for sample in 0..<3 {
            var parameters = EngineRig.parameters(40, temperature: 1)
            parameters.seed = 3 + UInt64(sample)
            let alone = Listener()
            let own = try makeCore(Bounds(keepsAll: true))
            try own.add(EngineRequest(prompt: prompt(200), parameters: parameters, sink: alone))
            own.drain()
            #expect(listener.heard.tokens[sample] == alone.heard.tokens[0])
        }
    }

    @Test(arguments: [Float(0), 1], ["ngram", "same", "other"])
    func `drafts that come true and drafts that do not change nothing`(
        _ temperature: Float, _ drafting: String
    ) throws {
        let periodic: [Int32] = (0..<150).map { Int32(5 + $0 % 4) }
        let prompts = [prompt(120), periodic, prompt(5)]
        let expected = try prompts.map {
            try run(makeCore(Bounds(keepsAll: true)), [$0], tokens: 90, temperature: temperature)[0]
        }
        let core = try makeCore(Bounds(sequences: 3, rows: 40, pages: 60, drafts: 5))
        if drafting == "ngram" {
            try core.useNGramDrafts()
        } else {
            let model = try Decoder.random(
                Self.description(.mixed), seed: drafting == "same" ? 4 : 5,
                backend: CPUBackend(threads: 2))
            var need = GenerationNeed(contextLength: 490, sequences: 3, prefillChunk: 16)
            need.ahead = 5
            try core.useDrafts(of: model, need: need)
        }
        let counter = DraftCounter()
        core.observer = counter
        expectEqual(try run(core, prompts, tokens: 90, temperature: temperature), expected)
        if drafting != "ngram" || temperature == 0 { #expect(counter.total.tokens > 0) }
        if drafting == "same" { #expect(counter.total.accepted == counter.total.tokens) }
        #expect(used(core).allSatisfy { $0 == 0 })
    }

    /// Small models of several families, with windows or chunks of 6 to 9 positions.
    @Test(arguments: [
        "gemma2", "gemma3", "gpt-oss", "olmo3", "mistral-window", "exaone4", "cohere2", "phi3",
        "qwen2-window", "llama4",
    ])
    func `models of all families say the same`(_ model: String) throws {
        var rig = EngineRig(model: "architectures/" + model, sequences: 2, batch: 9, pages: 20)
        rig.context = 120
        let prompts: [[Int32]] = [
            (0..<70).map { Int32(($0 * 11 + 3) % 45) }, (0..<5).map { Int32($0 + 2) },
        ]
        let core = try rig.core()
        #expect(core.cache.withTable { $0.groups.count } > 1)
        let heard = try run(core, prompts, tokens: 40)
        for (prompt, one) in zip(prompts, heard) {
            // Nothing is given back where all pages are taken at once.
            let decoder = try rig.decoder()
            let cache = try PagedCache(
                pageCount: 8, layers: decoder.description.layers, shape: decoder.description.shape,
                kvType: .bf16, ledger: nil)
            let need = DecoderWorkspaceNeed(rows: 120, logitRows: 1)
            let workspace = try DecoderWorkspace(need, decoder: decoder)
            let all = prompt + one.tokens[0].dropLast()
            #expect(cache.extend(sequence: 0, to: all.count))
            let batch = DecoderBatch(sequences: [all])
            let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
            for (index, token) in one.tokens[0].enumerated() {
                let logits = try decoder.logits(
                    of: hidden, rows: [prompt.count - 1 + index], batch: batch,
                    workspace: workspace)
                let row = Array(UnsafeBufferPointer(start: logits.pointer, count: logits.columns))
                let best = row.indices.max { row[$0] < row[$1] }
                #expect(best == Int(token))
            }
        }
    }
}
