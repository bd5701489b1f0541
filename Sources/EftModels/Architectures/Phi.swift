// SPDX-License-Identifier: Apache-2.0
// Phi 1, 1.5 and 2.
import EftConfig
import EftNN

/// `PhiForCausalLM`: one layer norm for attention and MLP side by side, biases everywhere, a part of each head rotates.
package enum Phi: Architecture {
    package static let modelTypes = ["phi"]
    package static let models = "Phi 1, 1.5, 2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "qk_layernorm", config,
            "layer norms of queries and keys (qk_layernorm) are not supported yet")
        let traits = FamilyTraits(
            architecture: "PhiForCausalLM", queryKeyValueBias: true, outputBias: true,
            mlpBias: true, isGated: false,
            mlpNames: DecoderDescription.MLPNames(up: "fc1", down: "fc2"),
            epsilonKey: "layer_norm_eps", epsilon: 1e-5, activation: "gelu_new", rotaryShare: 0.5)
        var description = try FamilyConfig.describe(config, traits)
        description.shape.isParallel = true
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.norms.feedForward = nil
        description.names.output = "self_attn.dense"
        description.names.finalNorm = "model.final_layernorm"
        description.headBias = true
        return description
    }
}
