// SPDX-License-Identifier: Apache-2.0
// Granite 4.
import EftConfig
import EftNN
import EftTensor

/// `GraniteMoeHybridForCausalLM`: most layers have a state space (Mamba 2) in the place of attention; experts with an MLP
/// beside them, or that MLP alone.
package enum GraniteHybrid: Architecture {
    package static let modelTypes = ["granitemoehybrid"]
    package static let models = "Granite 4 350M to 32B (H and dense)"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try Granite.describe(config, "GraniteMoeHybridForCausalLM")
        let shared =
            try config.optional("shared_intermediate_size") == nil
            ? 1024
            : FamilyConfig.extent(
                "shared_intermediate_size", config, most: FamilyConfig.largestWidth)
        description.mlpBias = false
        description.shape.fusesGateUp = true
        if try config.optional("num_local_experts")?.int() == 0 {
            description.shape.intermediate = shared
            description.mlpNames.path = "shared_mlp"
            description.mlpNames.gateUp = "input_linear"
            description.mlpNames.down = "output_linear"
        } else {
            try GraniteMoE.readExperts(config, into: &description)
            description.shape.mixture?.shared = MixtureShape.SharedExpert(
                intermediate: shared, isWeighed: false)
        }
        try readLayers(config, into: &description)
        return description
    }

    /// Which layers have a state space, and what it is like.
    private static func readLayers(
        _ config: ConfigCursor, into description: inout DecoderDescription
    ) throws {
        let position = try config.optional("position_embedding_type")?.string()
        let attention = LayerKind(rotary: position == "rope" ? 0 : nil)
        var space = LayerKind(rotary: nil)
        space.isLinear = true
        let types = try config.required("layer_types")
        description.kinds = try LayerKinds.named(
            types, layers: description.layers, supported: "attention, mamba"
        ) { name in
            switch name {
            case "attention", "full_attention": attention
            case "mamba", "linear_attention": space
            default: nil
            }
        }
        guard description.kinds.contains(where: \.isLinear) else { return }
        guard description.kinds.contains(where: { !$0.isLinear }) else {
            throw ModelError(
                .unsupported, "models without any layer of attention are not supported yet",
                path: config.file)
        }
        guard description.shape.activation == .silu else {
            throw ModelError(
                .unsupported, "state spaces with another hidden_act than silu are not supported",
                path: config.file)
        }
        description.shape.mixer = .space(
            try StateSpaceConfig.read(config, hidden: description.shape.hidden))
        let path = "mamba."
        description.names.mixed = path + "in_proj"
        description.names.linearOutput = path + "out_proj"
        description.names.convolution = path + "conv1d.weight"
        description.names.convolutionBias = path + "conv1d.bias"
        description.names.rate = path + "A_log"
        description.names.decayBias = path + "dt_bias"
        description.names.skip = path + "D"
        description.norms.linearValue = path + "norm"
    }
}
