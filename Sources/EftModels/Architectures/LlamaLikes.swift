// SPDX-License-Identifier: Apache-2.0
// Families of the Llama form with one or two differences each.
import EftConfig
import EftNN

#if canImport(Glibc)
    import Glibc
#endif

/// `ArceeForCausalLM`: an MLP of squared ReLU without a gate.
package enum Arcee: Architecture {
    package static let modelTypes = ["arcee"]
    package static let models = "AFM 4.5B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "ArceeForCausalLM"
        traits.isGated = false
        traits.epsilon = 1e-5
        traits.activation = "relu2"
        return try FamilyConfig.describe(config, traits)
    }
}

/// `SeedOssForCausalLM`: query, key and value have a bias, the output has one of its own.
package enum SeedOSS: Architecture {
    package static let modelTypes = ["seed_oss"]
    package static let models = "Seed-OSS 36B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "SeedOssForCausalLM"
        traits.queryKeyValueBias = try config.bool("attention_bias", default: true)
        traits.outputBias = try config.bool("attention_out_bias", default: false)
        traits.headDim = 128
        return try FamilyConfig.describe(config, traits)
    }
}

/// `Ernie4_5ForCausalLM`: neighbours rotate together, one switch for all biases.
package enum Ernie45: Architecture {
    package static let modelTypes = ["ernie4_5"]
    package static let models = "ERNIE 4.5, dense"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("use_bias", default: false)
        return try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "Ernie4_5ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                mlpBias: bias, headDim: 128, epsilon: 1e-5, tied: true, theta: 500_000,
                isInterleaved: true, context: 131_072))
    }
}

/// `HeliumForCausalLM`: neighbours rotate together.
package enum Helium: Architecture {
    package static let modelTypes = ["helium"]
    package static let models = "Helium 1"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "HeliumForCausalLM"
        traits.outputBias = false
        traits.headDim = 128
        traits.epsilon = 1e-8
        traits.theta = 100_000
        traits.isInterleaved = true
        traits.context = 4096
        return try FamilyConfig.describe(config, traits)
    }
}

/// `HunYuanDenseV1ForCausalLM`: each head of queries and keys is normed after it is rotated.
package enum HunYuanDense: Architecture {
    package static let modelTypes = ["hunyuan_v1_dense"]
    package static let models = "Hunyuan, dense"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var traits = try Llama.traits(config)
        traits.architecture = "HunYuanDenseV1ForCausalLM"
        traits.mlpBias = false
        traits.normsHeads = true
        traits.epsilon = 1e-5
        var description = try FamilyConfig.describe(config, traits)
        description.rotary = try rotary(config, description)
        description.shape.normsRotatedHeads = true
        description.norms.query = "self_attn.query_layernorm"
        description.norms.key = "self_attn.key_layernorm"
        return description
    }

    /// Its "dynamic" scaling with an alpha raises the base once and for all.
    private static func rotary(
        _ config: ConfigCursor, _ description: DecoderDescription
    ) throws -> RotaryEmbedding {
        let plain = description.rotary
        let parameters = try config.optional("rope_parameters") ?? config.optional("rope_scaling")
        guard case .dynamic = plain.scaling, let parameters,
            try parameters.optional("alpha") != nil, plain.headDim > 2
        else { return plain }
        let alpha = try FamilyConfig.factor("alpha", parameters, default: 1)
        let width = Double(plain.headDim)
        return RotaryEmbedding(
            headDim: plain.headDim, theta: plain.theta * pow(alpha, width / (width - 2)),
            scaling: .none)
    }
}
