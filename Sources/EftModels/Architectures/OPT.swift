// SPDX-License-Identifier: Apache-2.0
// OPT.
import EftConfig
import EftNN

/// `OPTForCausalLM`: learned positions whose first two rows stand for none, biases everywhere, an MLP of ReLU.
package enum OPT: Architecture {
    package static let modelTypes = ["opt"]
    package static let models = "OPT 125M, 1.3B to 66B, Galactica"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        try FamilyConfig.refuse(
            "_remove_final_layer_norm", config,
            "models without a norm before the head are not supported")
        let hidden = try FamilyConfig.extent("hidden_size", config)
        let isPlain =
            try config.bool("do_layer_norm_before", default: true)
            && config.bool("layer_norm_elementwise_affine", default: true)
            && (config.optional("word_embed_proj_dim")?.int() ?? hidden) == hidden
        guard isPlain else {
            throw ModelError(
                .unsupported,
                "norms behind the layers, norms without weights and embeddings of another width (OPT 350M) are not "
                    + "supported yet", path: config.file)
        }
        let bias = try config.bool("enable_bias", default: true)
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(
                architecture: "OPTForCausalLM",
                kvHeads: FamilyConfig.extent("num_attention_heads", config),
                queryKeyValueBias: bias, outputBias: bias, mlpBias: bias, isGated: false,
                mlpNames: DecoderDescription.MLPNames(up: "fc1", down: "fc2"),
                intermediateKey: "ffn_dim", epsilonKey: "layer_norm_eps", epsilon: 1e-5,
                activationKey: "activation_function", activation: "relu", tied: true))
        description.mlpNames.path = ""
        description.norms.kind = .layer
        description.norms.hasBias = true
        description.norms.attention = "self_attn_layer_norm"
        description.norms.feedForward = "final_layer_norm"
        description.names.layers = "model.decoder.layers"
        description.names.embedding = "model.decoder.embed_tokens"
        description.names.finalNorm = "model.decoder.final_layer_norm"
        description.names.output = "self_attn.out_proj"
        description.bareRoot = "model."
        description.learnPositions("model.decoder.embed_positions", first: 2)
        return description
    }
}
