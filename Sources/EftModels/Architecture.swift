// SPDX-License-Identifier: Apache-2.0
// How a model family reads its config.json.
import EftConfig

/// A family of models that describes itself as a `DecoderDescription`.
package protocol Architecture: Sendable {
    /// The values of `model_type` that it reads.
    static var modelTypes: [String] { get }
    /// The models that people know it by.
    static var models: String { get }
    /// Reads `config.json`.
    /// - Throws: `ConfigError` for missing or senseless keys, `ModelError` for options that Eft does not have.
    static func describe(_ config: ConfigCursor) throws -> DecoderDescription
}

/// All architectures, found by the `model_type` of `config.json`.
package enum ArchitectureRegistry {
    /// One line for each architecture in `Architectures/`.
    package static let all: [any Architecture.Type] = [
        Llama.self,
        Mistral.self,
        Mixtral.self,
        Qwen2.self,
        Qwen3.self,
        Gemma.self,
        Gemma2.self,
        Gemma3.self,
        Olmo2.self,
        Olmo3.self,
        SmolLM3.self,
        Granite.self,
        Cohere.self,
        Cohere2.self,
        Starcoder2.self,
        StableLM.self,
        Phi.self,
        Phi3.self,
        GLM.self,
        GLM4.self,
        GPTNeoX.self,
        GPT2.self,
        GPTBigCode.self,
        GPTNeo.self,
        GPTJ.self,
        OPT.self,
        Falcon.self,
        InternLM2.self,
        Baichuan.self,
        Nemotron.self,
        Exaone4.self,
        Arcee.self,
        SeedOSS.self,
        Ernie45.self,
        Helium.self,
        HunYuanDense.self,
        Qwen2MoE.self,
        Qwen3MoE.self,
        OLMoE.self,
        GLM4MoE.self,
        Dots1.self,
        Ernie45MoE.self,
        DeepSeekV2.self,
        DeepSeekV3.self,
        GLM4MoELite.self,
        Youtu.self,
        MiniCPM3.self,
        PhiMoE.self,
        GraniteMoE.self,
        GraniteHybrid.self,
        GptOss.self,
        Qwen3Next.self,
        Qwen35.self,
        Qwen35MoE.self,
        LFM2.self,
        LFM2MoE.self,
        Llama4.self,
    ]

    /// Describes the model of a `config.json`.
    /// - Throws: `ModelError` when no architecture knows its `model_type`.
    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let type = try config.required("model_type").string()
        try QuantizationMethod.check(config)
        let assumed = isKnown(type) ? type : AssumedArchitecture.current ?? type
        for architecture in all where architecture.modelTypes.contains(assumed) {
            var description = try architecture.describe(config)
            description.scores = try ScoreHead(config)
            // A head that scores is never the embedding, whatever the config says.
            if description.scores != nil { description.tiedEmbeddings = false }
            return description
        }
        throw UnknownArchitecture.error(
            type, known: all.flatMap { $0.modelTypes }, path: config.file)
    }

    /// Whether an architecture reads a type.
    package static func isKnown(_ type: String) -> Bool {
        all.contains { $0.modelTypes.contains(type) }
    }
}
