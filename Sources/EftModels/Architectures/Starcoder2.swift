// SPDX-License-Identifier: Apache-2.0
// StarCoder 2.
import EftConfig
import EftNN

/// `Starcoder2ForCausalLM`: layer norms, biases everywhere, an MLP without a gate.
package enum Starcoder2: Architecture {
    package static let modelTypes = ["starcoder2"]
    package static let models = "StarCoder 2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("use_bias", default: true)
        let traits = FamilyTraits(
            architecture: "Starcoder2ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
            mlpBias: bias, isGated: false,
            mlpNames: DecoderDescription.MLPNames(up: "c_fc", down: "c_proj"),
            epsilonKey: "norm_epsilon", epsilon: 1e-5, activation: "gelu_pytorch_tanh", tied: true,
            context: 4096)
        var description = try Mistral.describe(config, traits, window: nil)
        description.norms.kind = .layer
        description.norms.hasBias = true
        return description
    }
}
