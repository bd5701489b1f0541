// SPDX-License-Identifier: Apache-2.0
// Nemotron 4 and Minitron.
import EftConfig
import EftNN

/// `NemotronForCausalLM`: layer norms that hold the distance from one, half of each head rotates, an MLP of squared ReLU
/// without a gate.
package enum Nemotron: Architecture {
    package static let modelTypes = ["nemotron"]
    package static let models = "Nemotron 4, Minitron"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "NemotronForCausalLM"
        traits.isGated = false
        traits.epsilonKey = "norm_eps"
        traits.epsilon = 1e-5
        traits.activation = "relu2"
        traits.rotaryShare = 0.5
        traits.context = 4096
        var description = try FamilyConfig.describe(config, traits)
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.norms.offset = 1
        return description
    }
}
