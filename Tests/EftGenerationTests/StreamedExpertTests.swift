// SPDX-License-Identifier: Apache-2.0
// A model whose experts are read when they are chosen writes and scores what one in memory does.
import EftFormats
import EftGeneration
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct StreamedExpertTests {
    private let folder: TemporaryFolder
    private static let (layers, perRow) = (4, 2)

    /// A model of 4 layers of 8 experts, of which a token chooses 2.
    init() throws {
        folder = try TemporaryFolder()
        try folder.write(
            "config.json",
            """
            {"model_type": "qwen3_moe", "vocab_size": 90, "hidden_size": 64, "head_dim": 16,
             "intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 8,
             "num_experts_per_tok": \(Self.perRow), "num_hidden_layers": \(Self.layers),
             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
             "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "initializer_range": 0.2}
            """)
        let backend = try CPUBackend(threads: 2)
        let description = try ModelFolder.open(folder.path, needsWeights: false).description
        let decoder = try Decoder.random(description, seed: 4, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16).save(to: folder.path)
    }

    private func decoder(slots: Int?, threads: Int = 2) throws -> Decoder {
        let loader = try DecoderLoader(folder: ModelFolder.open(folder.path))
        let layouts = try DecoderLayouts(loader)
        let backend = try CPUBackend(threads: threads)
        guard let slots else { return try loader.load(backend: backend) }
        let device = try #require(layouts.streamingExperts(slots: slots))
        let base = StreamedBase(
            placement: WeightPlacement(devices: [device]),
            cache: try PanelCache(loader, layouts: layouts, below: folder.file("caches")))
        try base.cache.fill(base.placement.streamed, backend: backend)
        return try loader.load(backend: backend, streaming: base)
    }

    /// What requests of different lengths write together.
    /// - Parameter stop: after how many tokens of all a request is broken off; never when nil.
    private func tokens(
        _ decoder: Decoder, temperature: Float, sequences: Int = 3, stop: Int? = nil
    ) throws -> [[Int32]] {
        let prompts: [[Int32]] = [[1, 2, 3], Array(10..<40), [7], Array(50..<60)]
        let need = GenerationNeed(contextLength: 48, sequences: sequences, prefillChunk: 7)
        let generator = try Generator(decoder: decoder, need: need)
        var tokens = prompts.map { _ in [Int32]() }
        var count = 0
        _ = try generator.run(
            prompts.map {
                GenerationRequest(
                    prompt: $0,
                    parameters: GenerationParameters(
                        maxTokens: 12, temperature: temperature, seed: 3))
            }
        ) { request, token in
            tokens[request].append(token)
            count += 1
            return stop.map { count < $0 } ?? true
        }
        return tokens
    }

    @Test(arguments: [Float(0), 1])
    func `several requests at once write what they do in memory`(_ temperature: Float) throws {
        let expected = try tokens(decoder(slots: nil), temperature: temperature, sequences: 1)
        #expect(expected.allSatisfy { $0.count == 12 } && Set(expected.flatMap(\.self)).count > 10)
        for (slots, sequences, threads) in [
            (0, 3, 2), (0, 1, 1), (5, 4, 3), (13, 2, 2), (32, 3, 2),
        ] {
            let decoder = try decoder(slots: slots, threads: threads)
            for _ in 0..<2 {
                let found = try tokens(decoder, temperature: temperature, sequences: sequences)
                #expect(found == expected, "\(slots) places, \(sequences) at once")
            }
        }
    }

    @Test func `requests that are broken off leave the stream in order`() throws {
        let expected = try tokens(decoder(slots: nil), temperature: 0)
        let decoder = try decoder(slots: 3)
        for stop in [1, 4, 9, 17] {
            let part = try tokens(decoder, temperature: 0, stop: stop)
            #expect(part.reduce(0) { $0 + $1.count } < 48)
            #expect(zip(part, expected).allSatisfy { $1.starts(with: $0) })
        }
        #expect(try tokens(decoder, temperature: 0) == expected)
    }

    @Test func `a token reads what it chooses, at most`() throws {
        let decoder = try decoder(slots: 0)
        let layouts = try DecoderLayouts(DecoderLoader(folder: ModelFolder.open(folder.path)))
        let experts = try #require(layouts.streamingExperts(slots: 0)?.experts)
        let need = GenerationNeed(contextLength: 64)
        let generator = try Generator(decoder: decoder, need: need)
        _ = try generator.run([
            GenerationRequest(prompt: [5], parameters: GenerationParameters(maxTokens: 30))
        ]) { _, _ in true }
        let statistics = try #require(decoder.streamStatistics)
        // The last token goes through no layer.
        #expect(statistics.expertsUsed == 30 * Self.layers * Self.perRow)
        #expect(statistics.expertsRead <= statistics.expertsUsed && statistics.expertsRead > 0)
        #expect(statistics.bytes == statistics.expertsRead * experts.slotBytes)
        #expect(statistics.bytes <= 30 * experts.mostReads(rows: 1))
    }

    @Test func `a streamed score is a resident score`() throws {
        let text = (0..<100).map { Int32($0 * 13 % 90) }
        func score(_ slots: Int?) throws -> Double {
            try PerplexityEvaluator(decoder: decoder(slots: slots), slots: [], length: 32)
                .score(text) { _ in }.nll
        }
        let expected = try score(nil)
        for slots in [0, 6, 20] { #expect(try score(slots) == expected) }
    }
}
