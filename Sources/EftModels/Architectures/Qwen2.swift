// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5.
import EftConfig
import EftNN

/// `Qwen2ForCausalLM`: the Llama form with a bias on query, key and value.
package enum Qwen2: Architecture {
    package static let modelTypes = ["qwen2"]

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try LlamaFamily.refuseSlidingWindows(
            config, isUsed: config.bool("use_sliding_window", default: false))
        return try LlamaFamily.describe(
            config,
            LlamaFamily.Traits(architecture: "Qwen2ForCausalLM", queryKeyValueBias: true))
    }
}
