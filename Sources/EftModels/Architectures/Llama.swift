// SPDX-License-Identifier: Apache-2.0
// Llama 1 to 3 and everything of its form (TinyLlama, SmolLM, Yi, ...).
import EftConfig
import EftNN

/// `LlamaForCausalLM`.
package enum Llama: Architecture {
    package static let modelTypes = ["llama"]

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        return try LlamaFamily.describe(
            config,
            LlamaFamily.Traits(
                queryKeyValueBias: bias, outputBias: bias,
                mlpBias: config.bool("mlp_bias", default: false)))
    }
}
