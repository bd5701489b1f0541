// SPDX-License-Identifier: Apache-2.0
// Qwen 3, its dense models.
import EftConfig
import EftNN

/// `Qwen3ForCausalLM`: the Llama form with a norm of each head of queries and keys before they are rotated.
package enum Qwen3: Architecture {
    package static let modelTypes = ["qwen3"]
    package static let models = "Qwen 3, dense"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "Qwen3ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                normsHeads: true, headDim: 128))
        description.kinds = try Qwen2.kinds(config, layers: description.layers)
        return description
    }
}
