// SPDX-License-Identifier: Apache-2.0
// Command R and its successors, Aya.
import EftConfig
import EftNN

/// `CohereForCausalLM`: layer norms without bias, attention and MLP side by side, neighbours rotate together.
package enum Cohere: Architecture {
    package static let modelTypes = ["cohere"]
    package static let models = "Command R, Aya 23"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "use_qk_norm", config,
            "norms with weights for each head (use_qk_norm, Command R+) are not supported yet")
        return try describe(config, "CohereForCausalLM", theta: 500_000)
    }

    static func describe(
        _ config: ConfigCursor, _ architecture: String, theta: Double
    ) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: architecture, queryKeyValueBias: bias, outputBias: bias,
                epsilonKey: "layer_norm_eps", epsilon: 1e-5, tied: true, theta: theta,
                isInterleaved: true, context: 8192))
        description.shape.isParallel = true
        description.norms.kind = .layer
        description.norms.feedForward = nil
        description.logits.scale = Float(
            try FamilyConfig.factor("logit_scale", config, default: 0.0625))
        return description
    }
}

/// `Cohere2ForCausalLM`: three layers of four have a window; the others do not rotate.
package enum Cohere2: Architecture {
    package static let modelTypes = ["cohere2"]
    package static let models = "Command R7B, Command A, Aya Expanse"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try Cohere.describe(config, "Cohere2ForCausalLM", theta: 10000)
        let pattern = try LayerKinds.pattern("sliding_window_pattern", config, default: 4)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: 4096,
            isSliding: { ($0 + 1) % pattern != 0 }
        ).map { LayerKind(window: $0.window, rotary: $0.window == nil ? nil : 0) }
        return description
    }
}
