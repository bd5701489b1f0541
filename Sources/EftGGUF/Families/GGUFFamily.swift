// SPDX-License-Identifier: Apache-2.0
// What llama.cpp's architectures are in Hugging Face's form.

/// An architecture of llama.cpp: its configuration and the names of its tensors in Hugging Face's form.
struct GGUFFamily: Sendable {
    /// `model_type` of config.json.
    var modelType: String
    /// The class of transformers.
    var className: String
    /// Whether norms subtract the mean.
    var isLayerNorm = false
    /// The key of the number that is added in norms.
    var epsilonKey = "rms_norm_eps"
    /// `hidden_act`, where the family does not imply it.
    var activation: String?
    /// Whether rows of queries and keys are stored as neighbours rotate together, and config.json means halves.
    var isInterleaved = false
    /// Whether norms are stored with one added.
    var hasShiftedNorms = false
    /// What config.json has besides.
    var settings: @Sendable (inout GGUFConfig) throws(GGUFError) -> Void = { _ throws(GGUFError) in
    }
    /// Names of a layer's tensors where they differ from Llama's, without `.weight`.
    var names: [String: String] = [:]
    /// Names of other tensors where they differ.
    var outerNames: [String: String] = [:]
    /// The list of layers.
    var layersPath = "model.layers"
    /// Names of a layer's tensors that have another ending than the file's, by their name with its ending.
    var endings: [String: String] = [:]
    /// Modules whose rows are those of several tensors, which stand in this order.
    var joined: [String: [String]] = [:]
    /// Whether one product makes both factors of an MLP.
    var fusesGateUp = false
    /// Whether queries, keys and values in one product stand head of keys by head of keys, and all queries first in the file.
    var groupsHeads = false
    /// Whether keys and values come from one short vector.
    var isLatent = false
    /// Norms that are stored as they are where the others have one added.
    var plainNorms: [String] = []
    /// Whether the frequencies between which YaRN changes are whole ones.
    var truncatesYarn = true
    /// Gives a tensor its place in a way of the family's own; false for those that have none.
    var special:
        @Sendable (inout GGUFViews, GGUFViews.Stored, _ path: String) throws(GGUFError) -> Bool = {
            _, _, _ throws(GGUFError) in false
        }

    /// Names of a layer's tensors in Llama's form and in what many families add to it.
    static let layerNames = [
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
        "ffn_norm": "post_attention_layernorm", "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_inp": "mlp.gate",
        "ffn_gate_exps": "mlp.experts.*.gate_proj", "ffn_up_exps": "mlp.experts.*.up_proj",
        "ffn_down_exps": "mlp.experts.*.down_proj", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
        "ffn_up_shexp": "mlp.shared_expert.up_proj",
        "ffn_down_shexp": "mlp.shared_expert.down_proj",
        "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    ]

    /// Names of the tensors outside of layers.
    static let outerNames = [
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    ]

    /// The extents of a vector in Hugging Face's form.
    func endingDims(_ name: String, _ dims: [Int]) -> [Int] {
        if name.hasSuffix("conv1d.weight"), dims.count == 2 { return [dims[0], 1, dims[1]] }
        let count = dims.reduce(1, *)
        return name.hasSuffix("moe_statics.e_score_correction_bias") ? [1, count] : [count]
    }

    /// Tensors that say nothing about weights: the configuration says it.
    static let passedOver: Set = [
        "rope_freqs", "rope_factors_long", "rope_factors_short", "attn_rot_embd",
    ]
}
