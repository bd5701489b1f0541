// SPDX-License-Identifier: Apache-2.0
// gpt-oss.
import EftConfig
import EftNN

/// `GptOssForCausalLM`: attention with sinks, a window in every other layer; experts with biases and clamped units that
/// stand in one tensor together.
package enum GptOss: Architecture {
    package static let modelTypes = ["gpt_oss"]
    package static let models = "gpt-oss 20B and 120B, in bf16 or MXFP4"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let limit = try config.double("swiglu_limit", default: 7)
        guard limit == 7 else {
            throw config.error(
                .badValue, "swiglu_limit (\(limit)) is 7 in all models of this family")
        }
        let bias = try config.bool("attention_bias", default: true)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "GptOssForCausalLM", queryKeyValueBias: bias, outputBias: bias,
                mlpBias: true, mlpNames: .init(path: "mlp.experts", router: "mlp.router"),
                headDim: 64, epsilon: 1e-5, theta: 150_000, context: 131_072))
        try MixtureConfig.read(config, into: &description)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: 128, isSliding: { $0 % 2 == 0 })
        description.routerBias = true
        description.shape.hasSinks = true
        description.shape.fusesGateUp = true
        description.shape.activation = .clampedSwiGLU
        var stack = ExpertStack(
            gateUp: .init(
                weight: "mlp.experts.gate_up_proj", bias: "mlp.experts.gate_up_proj_bias"),
            down: .init(weight: "mlp.experts.down_proj", bias: "mlp.experts.down_proj_bias"))
        stack.isTransposed = true
        stack.alternates = true
        description.stack = stack
        return description
    }
}
