// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5.
import EftConfig
import EftNN

/// `Qwen2ForCausalLM`: the Llama form with a bias on query, key and value.
package enum Qwen2: Architecture {
    package static let modelTypes = ["qwen2"]
    package static let models = "Qwen 2 and 2.5, QwQ"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(
            config, FamilyTraits(architecture: "Qwen2ForCausalLM", queryKeyValueBias: true))
        description.kinds = try kinds(config, layers: description.layers)
        return description
    }

    /// Windows are of the layers from `max_window_layers` on, where they are switched on.
    static func kinds(_ config: ConfigCursor, layers: Int) throws -> [LayerKind] {
        guard try config.bool("use_sliding_window", default: false) else {
            // What layer_types says is checked all the same; sliding_window may be anything.
            guard try config.optional("layer_types") != nil else { return [] }
            return try LayerKinds.read(config, layers: layers)
        }
        let first = try config.optional("max_window_layers")?.int() ?? 28
        return try LayerKinds.read(config, layers: layers, window: 4096) { $0 >= first }
    }
}
