// SPDX-License-Identifier: Apache-2.0
// Llama 4.
import EftConfig
import EftNN

/// `Llama4ForCausalLM`, also as the language of a model that sees: most layers see the chunk that they stand in, the others do
/// not rotate and see everything; experts read inputs that sigmoids weigh, with an MLP beside them, in every layer or in every
/// other.
package enum Llama4: Architecture {
    package static let modelTypes = ["llama4_text", "llama4"]
    package static let models = "Llama 4 Scout and Maverick, the language of those that see too"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        guard let text = try config.optional("text_config") else {
            return try describe(text: config)
        }
        var description = try describe(text: text)
        description.roots = ["language_model.model", "model.language_model"]
        return description
    }

    private static func describe(text config: ConfigCursor) throws -> DecoderDescription {
        let bias = try config.bool("attention_bias", default: false)
        var traits = FamilyTraits(
            architecture: "Llama4ForCausalLM", queryKeyValueBias: bias, outputBias: bias,
            normsHeads: try config.bool("use_qk_norm", default: true),
            mlpNames: .init(path: "feed_forward.experts", router: "feed_forward.router"),
            headDim: 128, epsilon: 1e-5, isInterleaved: true, context: 131_072)
        traits.mlpNames.dense = "feed_forward"
        traits.mlpNames.shared = "feed_forward.shared_expert"
        var description = try FamilyConfig.describe(config, traits)
        description.shape.normsRotatedHeads = true
        description.norms.weighsHeads = false
        try readLayers(config, into: &description)
        try MixtureConfig.read(config, into: &description, scoring: .sigmoid(addsUp: false))
        description.shape.mixture?.weighsInputs = true
        description.shape.mixture?.shared = MixtureShape.SharedExpert(
            intermediate: description.shape.intermediate, isWeighed: false)
        var stack = ExpertStack(
            gateUp: .init(weight: "feed_forward.experts.gate_up_proj"),
            down: .init(weight: "feed_forward.experts.down_proj"))
        stack.isTransposed = true
        stack.takesAdapters = false
        stack.module = "feed_forward.experts"
        description.stack = stack
        let step = try LayerKinds.pattern("interleave_moe_layer_step", config, default: 1)
        let sparse = try config.optional("moe_layers")?.elements().map { try $0.int() }
        try MixtureConfig.keepExperts(config, in: &description, denseKey: "intermediate_size_mlp") {
            sparse?.contains($0) ?? (($0 + 1) % step == 0)
        }
        return description
    }

    /// Which layers rotate, which see a chunk, and how queries of the others grow.
    private static func readLayers(
        _ config: ConfigCursor, into description: inout DecoderDescription
    ) throws {
        let layers = description.layers
        let rotates = try LayerKinds.rotating(config, layers: layers)
        let chunk =
            try config.hasKey("attention_chunk_size")
            ? config.optional("attention_chunk_size").map { _ in
                try FamilyConfig.extent("attention_chunk_size", config)
            } : 8192
        var chunked = LayerKind(window: chunk)
        chunked.isChunked = chunk != nil
        let sees = try config.optional("layer_types").map {
            try LayerKinds.named(
                $0, layers: layers, supported: "full_attention, chunked_attention"
            ) { ["full_attention": LayerKind(), "chunked_attention": chunked][$0] }
        }
        description.kinds = rotates.enumerated().map { layer, rotates in
            var kind = sees?[layer] ?? (rotates ? chunked : LayerKind())
            kind.rotary = rotates ? 0 : nil
            kind.normsHeads = rotates
            return kind
        }
        guard try config.bool("attn_temperature_tuning", default: true) else { return }
        description.shape.temperature = QueryTemperature(
            interval: try config.optional("floor_scale") == nil
                ? 8192 : FamilyConfig.extent("floor_scale", config),
            scale: Float(try FamilyConfig.factor("attn_scale", config, default: 0.1)))
    }
}
