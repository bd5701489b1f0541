// SPDX-License-Identifier: Apache-2.0
// Phi 3.5 MoE.
import EftConfig
import EftNN

/// `PhimoeForCausalLM`: layer norms with bias; experts are chosen one after the other, each weighed among those that come
/// close to it.
package enum PhiMoE: Architecture {
    package static let modelTypes = ["phimoe"]
    package static let models = "Phi 3.5 MoE"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var description = try Mistral.describe(
            config,
            FamilyTraits(
                architecture: "PhimoeForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                mlpNames: Mixtral.names, epsilon: 1e-5, theta: 1_000_000, context: 131_072),
            window: nil)
        let jitter = try config.double("router_jitter_noise", default: 0.01)
        guard jitter >= 0, jitter <= 1 else {
            throw config.error(
                .badValue, "router_jitter_noise (\(jitter)) must lie between 0 and 1")
        }
        try MixtureConfig.read(config, into: &description, scoring: .sparse(jitter: Float(jitter)))
        guard description.shape.mixture?.expertsPerRow == 2 else {
            throw config.error(.badValue, "num_experts_per_tok must be 2: its router chooses two")
        }
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.headBias = try config.bool("lm_head_bias", default: false)
        return description
    }
}
