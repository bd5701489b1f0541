// SPDX-License-Identifier: Apache-2.0
// Granite 3.
import EftConfig
import EftNN

/// `GraniteForCausalLM`: the Llama form with factors of embeddings, scores, values and logits.
package enum Granite: Architecture {
    package static let modelTypes = ["granite"]
    package static let models = "Granite 3, dense"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describe(config, "GraniteForCausalLM")
    }

    static func describe(
        _ config: ConfigCursor, _ architecture: String
    ) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = architecture
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

/// `GraniteMoeForCausalLM` and `GraniteMoeSharedForCausalLM`: experts that stand in one tensor together.
package enum GraniteMoE: Architecture {
    package static let modelTypes = ["granitemoe", "granitemoeshared"]
    package static let models = "Granite 3 1B-A400M, 3B-A800M, PowerMoE"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let hasShared = try config.required("model_type").string() == "granitemoeshared"
        let name = hasShared ? "GraniteMoeSharedForCausalLM" : "GraniteMoeForCausalLM"
        var description = try Granite.describe(config, name)
        try readExperts(config, into: &description)
        if hasShared, try config.optional("shared_intermediate_size")?.int() != 0 {
            description.shape.mixture?.shared = MixtureShape.SharedExpert(
                intermediate: try FamilyConfig.extent("shared_intermediate_size", config),
                isWeighed: false)
        }
        return description
    }

    /// Experts, each factor and each last product of all in one tensor.
    static func readExperts(
        _ config: ConfigCursor, into description: inout DecoderDescription
    ) throws {
        try MixtureConfig.read(config, into: &description)
        description.shape.fusesGateUp = true
        description.mlpBias = false
        description.mlpNames.path = "block_sparse_moe.experts"
        description.mlpNames.router = "block_sparse_moe.router.layer"
        description.mlpNames.gateUp = "input_linear"
        description.mlpNames.down = "output_linear"
        description.mlpNames.shared = "shared_mlp"
        var stack = ExpertStack(
            gateUp: .init(weight: "block_sparse_moe.input_linear.weight"),
            down: .init(weight: "block_sparse_moe.output_linear.weight"))
        stack.module = "block_sparse_moe.experts"
        description.stack = stack
    }
}
