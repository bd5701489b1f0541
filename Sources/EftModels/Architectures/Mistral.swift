// SPDX-License-Identifier: Apache-2.0
// Mistral 7B and its successors, with and without sliding windows.
import EftConfig
import EftNN

/// `MistralForCausalLM` and `MinistralForCausalLM`: the Llama form, whose layers may see a window of the past only.
package enum Mistral: Architecture {
    package static let modelTypes = ["mistral", "ministral"]
    package static let models = "Mistral 7B, Nemo, Small; Ministral 8B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let isMini = try config.required("model_type").string() == "ministral"
        let name = isMini ? "MinistralForCausalLM" : "MistralForCausalLM"
        return try describe(config, FamilyTraits(architecture: name), window: 4096)
    }

    /// Reads a model of Mistral's form that has further traits.
    /// - Parameter window: that of all layers where the config does not give it.
    static func describe(
        _ config: ConfigCursor, _ traits: FamilyTraits, window: Int?
    ) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(config, traits)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: window)
        return description
    }
}
