// SPDX-License-Identifier: Apache-2.0
// A model beside a reference: figures of transformers and numpy, streamed, and with itself.
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct ComparisonTests {
    private static let reference = Fixtures.path("models/bf16")
    private static let model = Fixtures.path("comparison/model")
    private let golden = try? ConfigCursor(
        JSONParser.parse(FileSystem.read(Fixtures.path("comparison/golden.json"))))

    private func decoder(_ path: String) throws -> Decoder {
        try DecoderLoader(folder: ModelFolder.open(path)).load(backend: CPUBackend(threads: 2))
    }

    private func tokens() throws -> [Int32] {
        try #require(golden).required("tokens").elements().map { Int32(try $0.int()) }
    }

    private func compare(
        _ reference: Decoder, _ model: Decoder, _ tokens: [Int32], length: Int
    ) throws -> ComparisonScore {
        try ComparisonEvaluator(reference: reference, model: model, slots: [], length: length)
            .compare(tokens) { _ in }
    }

    @Test(arguments: 0..<5) func `figures are those of transformers`(index: Int) throws {
        let wanted = try #require(golden).required("cases").elements()[index]
        func number(_ key: String) throws -> Double { try wanted.required(key).double() }
        let score = try compare(
            decoder(Self.reference), decoder(Self.model), tokens(),
            length: wanted.required("length").int())
        #expect(try score.tokens == wanted.required("tokens").int())
        let divergence = score.divergence
        for (found, key) in [
            (score.referenceNLL, "reference_nll"), (score.nll, "nll"), (divergence.mean, "mean"),
            (divergence.median, "median"), (divergence.percentile99, "p99"),
            (divergence.largest, "max"),
        ] {
            let difference = try abs(found - number(key))
            #expect(difference < (key == "max" ? 2e-4 : 2e-5), "\(key) \(difference)")
        }
        #expect(try abs(score.top1Agreement - number("top1")) < 1e-9)
        #expect(try abs(score.top5Agreement - number("top5")) < 1e-9)
        let layers = try wanted.required("layers").elements().map { try $0.double() }
        #expect(score.layerErrors.count == layers.count)
        for (found, layer) in zip(score.layerErrors, layers) { #expect(abs(found - layer) < 1e-5) }
    }

    @Test(arguments: [2, 33, 64]) func `a model does not differ from itself`(length: Int) throws {
        let score = try compare(
            decoder(Self.model), decoder(Self.model), tokens(), length: length)
        #expect(score.nll == score.referenceNLL)
        #expect(score.divergence.mean == 0 && score.divergence.largest == 0)
        #expect(score.top1Agreement == 1 && score.top5Agreement == 1)
        #expect(score.layerErrors.allSatisfy { $0 == 0 })
        let alone = try PerplexityEvaluator(
            decoder: decoder(Self.model), slots: [], length: length
        ).score(tokens()) { _ in }
        #expect(alone.tokens == score.tokens && abs(alone.nll - score.nll) < 1e-6)
    }

    @Test func `models of other shapes are compared by what they predict`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "config.json",
            """
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64,
             "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3,
             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
             "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "initializer_range": 0.2}
            """)
        let description = try ModelFolder.open(folder.path, needsWeights: false).description
        let other = try Decoder.random(description, seed: 5, backend: CPUBackend(threads: 2))
        let score = try compare(decoder(Self.reference), other, tokens(), length: 50)
        #expect(score.divergence.mean > 0.1 && score.layerErrors.isEmpty)
        let alone = try PerplexityEvaluator(decoder: other, slots: [], length: 50)
            .score(tokens()) { _ in }
        #expect(abs(alone.nll - score.nll) < 1e-6)
    }

    @Test func `models of other vocabularies are refused`() throws {
        #expect(throws: ModelError.self) {
            try compare(
                decoder(Fixtures.path("models/plain")), decoder(Self.model), tokens(), length: 50)
        }
    }
}
