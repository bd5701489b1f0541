// SPDX-License-Identifier: Apache-2.0
// GPT-Neo and GPT-J: between GPT-2 and GPT-NeoX.
import EftConfig
import EftNN

/// `GPTNeoForCausalLM`: learned positions, scores that are not scaled, a window in every other layer.
package enum GPTNeo: Architecture {
    package static let modelTypes = ["gpt_neo"]
    package static let models = "GPT-Neo 125M, 1.3B, 2.7B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "GPTNeoForCausalLM", headsKey: "num_heads", layersKey: "num_layers",
                kvHeads: FamilyConfig.extent("num_heads", config), outputBias: true, mlpBias: true,
                isGated: false, mlpNames: DecoderDescription.MLPNames(up: "c_fc", down: "c_proj"),
                intermediateFactor: 4, epsilonKey: "layer_norm_epsilon", epsilon: 1e-5,
                activationKey: "activation_function", activation: "gelu_new", tied: true))
        description.shape.attentionScale = 1
        description.nameAsGPT2()
        description.names.query = "attn.attention.q_proj"
        description.names.key = "attn.attention.k_proj"
        description.names.value = "attn.attention.v_proj"
        description.names.output = "attn.attention.out_proj"
        description.kinds = try kinds(config, layers: description.layers)
        description.learnPositions("transformer.wpe")
        return description
    }

    /// `attention_types`: lists of kinds, and how often each is repeated.
    private static func kinds(_ config: ConfigCursor, layers: Int) throws -> [LayerKind] {
        let window = try config.optional("window_size")?.int(in: 1...(1 << 24)) ?? 256
        var names: [String] = []
        for item in try config.required("attention_types").elements() {
            let pair = try item.elements()
            guard pair.count == 2 else {
                throw item.error(.badValue, "attention_types holds pairs of kinds and a number")
            }
            let kinds = try pair[0].elements().map { try $0.string() }
            let count = try pair[1].int(in: 1...(1 << 12))
            names += (0..<count).flatMap { _ in kinds }
        }
        guard names.count == layers, names.allSatisfy({ $0 == "global" || $0 == "local" }) else {
            throw config.error(
                .badValue,
                "attention_types must say 'global' or 'local' of each of \(layers) layers")
        }
        return names.map { LayerKind(window: $0 == "local" ? window : nil) }
    }
}

/// `GPTJForCausalLM`: neighbours rotate together in a part of each head, attention and MLP side by side, a head with bias.
package enum GPTJ: Architecture {
    package static let modelTypes = ["gptj"]
    package static let models = "GPT-J 6B"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        let heads = try FamilyConfig.extent("n_head", config)
        let width = try FamilyConfig.extent("n_embd", config) / heads
        let rotated = try config.optional("rotary_dim")?.int(in: 1...(1 << 20)) ?? width
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "GPTJForCausalLM", hiddenKey: "n_embd", headsKey: "n_head",
                layersKey: "n_layer", contextKey: "n_positions", kvHeads: heads, mlpBias: true,
                isGated: false, mlpNames: DecoderDescription.MLPNames(up: "fc_in", down: "fc_out"),
                intermediateKey: "n_inner", intermediateFactor: 4,
                epsilonKey: "layer_norm_epsilon", epsilon: 1e-5,
                activationKey: "activation_function", activation: "gelu_new",
                rotaryShare: Double(rotated) / Double(max(width, 1)), isInterleaved: true))
        description.shape.isParallel = true
        description.nameAsGPT2()
        description.norms.feedForward = nil
        description.names.query = "attn.q_proj"
        description.names.key = "attn.k_proj"
        description.names.value = "attn.v_proj"
        description.names.output = "attn.out_proj"
        description.headBias = true
        return description
    }
}
