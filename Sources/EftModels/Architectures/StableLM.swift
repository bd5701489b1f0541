// SPDX-License-Identifier: Apache-2.0
// StableLM 2 and StableLM 3B.
import EftConfig
import EftNN

/// `StableLmForCausalLM`: layer norms, a part of each head rotates, attention and MLP may stand side by side.
package enum StableLM: Architecture {
    package static let modelTypes = ["stablelm"]
    package static let models = "StableLM 3B, StableLM 2 1.6B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "qk_layernorm", config,
            "norms with weights for each head (qk_layernorm, StableLM 2 12B) are not supported yet")
        let traits = FamilyTraits(
            architecture: "StableLmForCausalLM",
            queryKeyValueBias: try config.bool("use_qkv_bias", default: false),
            epsilonKey: "layer_norm_eps", epsilon: 1e-5, rotaryShare: 0.25, context: 4096)
        var description = try FamilyConfig.describe(config, traits)
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.shape.isParallel = try config.bool("use_parallel_residual", default: false)
        if description.shape.isParallel { description.norms.feedForward = nil }
        return description
    }
}
