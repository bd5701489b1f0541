// SPDX-License-Identifier: Apache-2.0
// Mixtral 8x7B and 8x22B: Mistral with a mixture of experts in place of the MLP.
import EftConfig
import EftNN

/// `MixtralForCausalLM`.
package enum Mixtral: Architecture {
    package static let modelTypes = ["mixtral"]
    package static let models = "Mixtral 8x7B, 8x22B"

    /// What checkpoints call its experts.
    static let names = DecoderDescription.MLPNames(
        path: "block_sparse_moe.experts", router: "block_sparse_moe.gate", gate: "w1", up: "w3",
        down: "w2")

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try Mistral.describe(
            config, FamilyTraits(architecture: "MixtralForCausalLM", mlpNames: names), window: nil)
        try MixtureConfig.read(config, into: &description)
        return description
    }
}
