// SPDX-License-Identifier: Apache-2.0
// Granite 3 and 4, its dense models.
import EftConfig
import EftNN

/// `GraniteForCausalLM`: the Llama form with factors of embeddings, scores, values and logits.
package enum Granite: Architecture {
    package static let modelTypes = ["granite"]
    package static let models = "Granite 3, dense"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "GraniteForCausalLM"
        var description = try FamilyConfig.describe(config, traits)
        func factor(_ key: String) throws -> Float {
            Float(try FamilyConfig.factor(key, config, default: 1))
        }
        description.embeddingScale = try factor("embedding_multiplier")
        description.shape.attentionScale = try factor("attention_multiplier")
        description.shape.residualScale = try factor("residual_multiplier")
        description.logits.scale = 1 / (try factor("logits_scaling"))
        return description
    }
}
