// SPDX-License-Identifier: Apache-2.0
// ERNIE 4.5, its mixtures of experts.
import EftConfig
import EftNN

/// `Ernie4_5_MoeForCausalLM`: neighbours rotate together; experts are chosen by a corrected softmax, in some layers.
package enum Ernie45MoE: Architecture {
    package static let modelTypes = ["ernie4_5_moe"]
    package static let models = "ERNIE 4.5 21B-A3B, 300B-A47B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "use_bias", config, "experts with biases (use_bias) are not supported yet")
        var traits = FamilyTraits(
            architecture: "Ernie4_5_MoeForCausalLM", epsilon: 1e-5, tied: true, theta: 500_000,
            isInterleaved: true, context: 131_072)
        traits.mlpNames.path = "mlp.experts"
        traits.mlpNames.shared = "mlp.shared_experts"
        traits.mlpNames.correction = "mlp.moe_statics.e_score_correction_bias"
        traits.mlpNames.correctionIsRow = true
        traits.intermediateKey = "moe_intermediate_size"
        var description = try FamilyConfig.describe(config, traits)
        try MixtureConfig.read(
            config, into: &description, expertsKey: "moe_num_experts", chosenKey: "moe_k")
        description.shape.mixture?.hasCorrection = true
        description.shape.mixture?.shared = try MixtureConfig.shared(
            config.optional("moe_num_shared_experts")?.int() ?? 2, description.shape.intermediate,
            config)
        let interval = try LayerKinds.pattern("moe_layer_interval", config, default: 1)
        let first = try config.optional("moe_layer_start_index")?.int() ?? 1
        let last = try config.optional("moe_layer_end_index")?.int() ?? -1
        let end = last == -1 ? description.layers - 1 : last
        try MixtureConfig.keepExperts(config, in: &description) {
            ($0 + 1) % interval == 0 && $0 >= first && $0 <= end
        }
        return description
    }
}
