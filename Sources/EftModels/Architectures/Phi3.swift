// SPDX-License-Identifier: Apache-2.0
// Phi 3, 3.5 and 4.
import EftConfig
import EftNN

/// `Phi3ForCausalLM`: the Llama form with queries, keys and values in one product, and both factors of the MLP in one.
package enum Phi3: Architecture {
    package static let modelTypes = ["phi3"]
    package static let models = "Phi 3 and 3.5 (mini, medium), Phi 4, Phi 4 mini"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try Mistral.describe(
            config,
            FamilyTraits(architecture: "Phi3ForCausalLM", epsilon: 1e-5, context: 4096),
            window: nil)
        description.shape.fusedHeads = .blocks
        description.shape.fusesGateUp = true
        return description
    }
}
