// SPDX-License-Identifier: Apache-2.0
// Qwen 3, its dense models.
import EftConfig
import EftNN

/// `Qwen3ForCausalLM`: the Llama form with a norm of each head of queries and keys before they are rotated.
package enum Qwen3: Architecture {
    package static let modelTypes = ["qwen3"]

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try LlamaFamily.refuseSlidingWindows(
            config, isUsed: config.bool("use_sliding_window", default: false))
        let bias = try config.bool("attention_bias", default: false)
        return try LlamaFamily.describe(
            config,
            LlamaFamily.Traits(
                architecture: "Qwen3ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                normsHeads: true, headDim: 128))
    }
}
