// SPDX-License-Identifier: Apache-2.0
// A streamed model writes and scores what one in memory does.
import EftFormats
import EftGeneration
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct StreamedGenerationTests {
    private let folder: TemporaryFolder

    /// A model of 6 layers.
    init() throws {
        folder = try TemporaryFolder()
        try folder.write(
            "config.json",
            """
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 90,
             "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6,
             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
             "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "initializer_range": 0.2}
            """)
        let backend = try CPUBackend(threads: 2)
        let description = try ModelFolder.open(folder.path, needsWeights: false).description
        let decoder = try Decoder.random(description, seed: 4, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16).save(to: folder.path)
    }

    private func decoder(streamed: Int, held: WeightTarget = .asStored) throws -> Decoder {
        let loader = try DecoderLoader(
            folder: ModelFolder.open(folder.path), options: LoadOptions(linears: held))
        let layouts = try DecoderLayouts(loader)
        let backend = try CPUBackend(threads: 2)
        let base = StreamedBase(
            placement: layouts.streaming(streamed),
            cache: try PanelCache(loader, layouts: layouts, below: folder.file("caches")))
        try base.cache.fill(base.placement.streamed, backend: backend)
        let decoder = try loader.load(backend: backend, streaming: base)
        #expect((decoder.streams[0] == nil) == (streamed == 0))
        return decoder
    }

    private func tokens(_ decoder: Decoder, temperature: Float) throws -> [[Int32]] {
        let prompts: [[Int32]] = [[1, 2, 3], Array(10..<40), [7]]
        let need = GenerationNeed(contextLength: 48, sequences: 2, prefillChunk: 7)
        let generator = try Generator(decoder: decoder, need: need)
        var tokens = prompts.map { _ in [Int32]() }
        _ = try generator.run(
            prompts.map {
                GenerationRequest(
                    prompt: $0,
                    parameters: GenerationParameters(
                        maxTokens: 12, temperature: temperature, seed: 3))
            }
        ) { request, token in
            tokens[request].append(token)
            return true
        }
        return tokens
    }

    @Test(arguments: [WeightTarget.asStored, .nf4(doubleQuantization: true)], [Float(0), 1])
    func `streamed generation is resident generation`(
        _ held: WeightTarget, _ temperature: Float
    ) throws {
        let expected = try tokens(decoder(streamed: 0, held: held), temperature: temperature)
        #expect(expected.allSatisfy { $0.count == 12 })
        for streamed in [6, 4, 3] {
            let found = try tokens(
                decoder(streamed: streamed, held: held), temperature: temperature)
            #expect(found == expected, "\(streamed) streamed")
        }
    }

    @Test func `a streamed score is a resident score`() throws {
        let text = (0..<100).map { Int32($0 * 13 % 90) }
        func score(_ streamed: Int) throws -> Double {
            try PerplexityEvaluator(decoder: decoder(streamed: streamed), slots: [], length: 32)
                .score(text) { _ in }.nll
        }
        let expected = try score(0)
        #expect(try score(6) == expected)
        #expect(try score(3) == expected)
    }

    @Test func `a comparison of streamed models is one of resident models`() throws {
        let text = (0..<100).map { Int32($0 * 13 % 90) }
        let nf4 = WeightTarget.nf4(doubleQuantization: true)
        func compare(_ reference: Int, _ model: Int) throws -> ComparisonScore {
            try ComparisonEvaluator(
                reference: decoder(streamed: reference), model: decoder(streamed: model, held: nf4),
                slots: [], length: 32
            ).compare(text) { _ in }
        }
        let expected = try compare(0, 0)
        #expect(expected.divergence.mean > 0 && expected.layerErrors.count == 6)
        for (reference, model) in [(6, 0), (4, 6), (0, 3)] {
            let found = try compare(reference, model)
            #expect(found.divergence == expected.divergence)
            #expect(found.layerErrors == expected.layerErrors)
            #expect(found.nll == expected.nll && found.referenceNLL == expected.referenceNLL)
        }
    }
}
