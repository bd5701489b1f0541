// SPDX-License-Identifier: Apache-2.0
// Speeds of whole models: every shape runs, and its limit counts what a token uses.
import EftBenchmarks
import EftModels
import EftPlanning
import EftTensor
import Testing

@Suite struct ModelBenchmarkTests {
    private static func small(_ family: NamedShape.Family) -> NamedShape {
        NamedShape(
            name: "small", family: family, vocabulary: 320, hidden: 256, intermediate: 256,
            layers: 2, heads: 4, kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 8192,
            tied: false)
    }

    private static func options(_ family: NamedShape.Family) -> ModelBenchmark.Options {
        var options = ModelBenchmark.Options()
        options.shape = small(family)
        (options.tokens, options.promptTokens) = (4, 24)
        return options
    }

    @Test(arguments: [
        NamedShape.Family.llama, .gemma3(window: 16), .phi3,
        .qwen3MoE(experts: 6, expertsPerRow: 2),
        .gptOss(experts: 4, expertsPerRow: 2, window: 16),
    ])
    func `decoding, prompts and training are measured in every shape`(
        _ family: NamedShape.Family
    ) throws {
        let backend = try CPUBackend(threads: 2)
        let limits = try MachineLimits(backend)
        let options = Self.options(family)
        for result in [
            try ModelBenchmark.decode(backend, limits: limits, options: options),
            try ModelBenchmark.prefill(backend, limits: limits, options: options),
            try ModelBenchmark.train(backend, limits: limits, options: options),
        ] {
            #expect(result.value > 0 && result.value.isFinite)
            #expect((result.limit ?? 0) > 0 && result.name.contains("small, "))
        }
    }

    @Test func `experts that are not chosen do not count`() throws {
        let backend = try CPUBackend(threads: 1)
        let limits = try MachineLimits(backend)
        func limit(_ chosen: Int) throws -> Double {
            let family = NamedShape.Family.qwen3MoE(experts: 6, expertsPerRow: chosen)
            let result = try ModelBenchmark.decode(
                backend, limits: limits, options: Self.options(family))
            return try #require(result.limit)
        }
        let description = try Self.small(.qwen3MoE(experts: 6, expertsPerRow: 2))
            .description(layers: 2)
        let layouts = try DecoderLayouts(description, format: .exl2(bits: 4, headBits: 6))
        let all = layouts.byteCount - layouts.embedding.byteCount
        #expect(
            abs(try limit(6) - limits.readBandwidth / Double(all)) < 1e-6 * limits.readBandwidth)
        #expect(try limit(2) > limit(6) * 1.2)
    }

    @Test func `as many layers are made as fit`() throws {
        let backend = try CPUBackend(threads: 1)
        let limits = try MachineLimits(backend)
        var options = Self.options(.llama)
        let layouts = try DecoderLayouts(
            options.shape.description(layers: 2), format: .exl2(bits: 4, headBits: 6))
        options.weightBytes = layouts.byteCount
        func name() throws -> String {
            try ModelBenchmark.decode(backend, limits: limits, options: options).name
        }
        #expect(try name().hasPrefix("decode, small, EXL2"))
        options.weightBytes -= 1
        #expect(try name().hasPrefix("decode, small (1 of 2 layers), EXL2"))
        options.weightBytes = 0
        #expect(throws: ModelError.self) { try name() }
        options.layers = 1
        #expect(try name().hasPrefix("decode, small (1 of 2 layers), EXL2"))
    }

    @Test(arguments: [
        // As their authors count them.
        ("gemma-3-4b", 3_880_263_168), ("phi-4-mini", 3_836_021_760),
        ("qwen3-30b-a3b", 30_532_122_624), ("gpt-oss-20b", 20_914_757_184),
    ])
    func `shapes are those of the models`(_ name: String, _ parameters: Int) throws {
        let shape = try #require(NamedShape.all.first { $0.name == name })
        #expect(try shape.description(layers: shape.layers).parameterCount == parameters)
    }
}
