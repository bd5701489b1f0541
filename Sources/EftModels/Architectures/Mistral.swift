// SPDX-License-Identifier: Apache-2.0
// Mistral 7B and its successors without sliding windows.
import EftConfig
import EftNN

/// `MistralForCausalLM`.
package enum Mistral: Architecture {
    package static let modelTypes = ["mistral"]

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let description = try LlamaFamily.describe(
            config, queryKeyValueBias: false, outputBias: false, mlpBias: false)
        if let window = try config.optional("sliding_window") {
            guard try window.int() >= description.contextLength else {
                throw ModelError(
                    .unsupported, "attention with a sliding window is not supported",
                    path: config.file)
            }
        }
        return description
    }
}
