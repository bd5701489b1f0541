// SPDX-License-Identifier: Apache-2.0
// OLMo 2 and 3.
import EftConfig
import EftNN

/// `Olmo2ForCausalLM`: no norm before attention and MLP, but of their values; all heads of queries, and of keys, are normed
/// at once.
package enum Olmo2: Architecture {
    package static let modelTypes = ["olmo2"]
    package static let models = "OLMo 2"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try describe(config, traits(config, "Olmo2ForCausalLM"))
    }

    static func traits(_ config: ConfigCursor, _ architecture: String) throws -> FamilyTraits {
        let bias = try config.bool("attention_bias", default: false)
        return FamilyTraits(
            architecture: architecture, queryKeyValueBias: bias, outputBias: bias, normsHeads: true,
            epsilon: 1e-5)
    }

    static func describe(
        _ config: ConfigCursor, _ traits: FamilyTraits
    ) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(config, traits)
        description.normOnlyValues()
        description.norms.normsHeadsTogether = true
        return description
    }
}

/// `Olmo3ForCausalLM`: three layers of four have a window, and may have another rotary embedding.
package enum Olmo3: Architecture {
    package static let modelTypes = ["olmo3"]
    package static let models = "OLMo 3"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Olmo2.traits(config, "Olmo3ForCausalLM")
        traits.theta = 500_000
        traits.rotaryLayers = "full_attention"
        var description = try Olmo2.describe(config, traits)
        try LayerKinds.readWithLocalRotary(
            config, into: &description, traits,
            theta: config.double("rope_theta", default: traits.theta),
            isSliding: { ($0 + 1) % 4 != 0 })
        return description
    }
}
