// SPDX-License-Identifier: Apache-2.0
// SmolLM 3.
import EftConfig
import EftNN

/// `SmolLM3ForCausalLM`: the Llama form in which every fourth layer does not rotate.
package enum SmolLM3: Architecture {
    package static let modelTypes = ["smollm3"]
    package static let models = "SmolLM 3"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "SmolLM3ForCausalLM"
        traits.theta = 2_000_000
        traits.tied = true
        traits.context = 32768
        var description = try FamilyConfig.describe(config, traits)
        let rotates = try LayerKinds.rotating(config, layers: description.layers)
        let hasWindows = try config.bool("use_sliding_window", default: false)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, isSliding: { hasWindows && !rotates[$0] }
        ).enumerated().map {
            LayerKind(window: hasWindows ? $1.window : nil, rotary: rotates[$0] ? 0 : nil)
        }
        return description
    }
}
