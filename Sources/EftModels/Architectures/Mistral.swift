// SPDX-License-Identifier: Apache-2.0
// Mistral 7B and its successors without sliding windows.
import EftConfig
import EftNN

/// `MistralForCausalLM`.
package enum Mistral: Architecture {
    package static let modelTypes = ["mistral"]

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describe(config, LlamaFamily.Traits(architecture: "MistralForCausalLM"))
    }

    /// Reads a model of Mistral's form that has further traits.
    static func describe(
        _ config: ConfigCursor, _ traits: LlamaFamily.Traits
    ) throws -> DecoderDescription {
        let description = try LlamaFamily.describe(config, traits)
        // A window of the whole context or more cuts nothing off.
        let window = try config.optional("sliding_window")?.int() ?? .max
        try LlamaFamily.refuseSlidingWindows(config, isUsed: window < description.contextLength)
        return description
    }
}
