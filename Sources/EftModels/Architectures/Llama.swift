// SPDX-License-Identifier: Apache-2.0
// Llama 1 to 3 and everything of its form (TinyLlama, SmolLM, Yi, ...).
import EftConfig
import EftNN

/// `LlamaForCausalLM`.
package enum Llama: Architecture {
    package static let modelTypes = ["llama"]
    package static let models = "Llama 1 to 3.3, TinyLlama, SmolLM 1 and 2, Yi, Vicuna"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.describe(config, traits(config))
    }

    /// Biases as the config says.
    static func traits(_ config: ConfigCursor) throws -> FamilyTraits {
        let bias = try config.bool("attention_bias", default: false)
        return FamilyTraits(
            queryKeyValueBias: bias, outputBias: bias,
            mlpBias: try config.bool("mlp_bias", default: false))
    }
}
