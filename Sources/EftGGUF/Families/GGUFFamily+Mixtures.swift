// SPDX-License-Identifier: Apache-2.0
// Families with mixtures of experts beyond those of Mixtral's and Qwen's form.
import EftConfig

extension GGUFFamily {
    private static let sharedExperts = [
        "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
        "ffn_up_shexp": "mlp.shared_experts.up_proj",
        "ffn_down_shexp": "mlp.shared_experts.down_proj",
    ]
    private static let correction = ["exp_probs_b.bias": "mlp.gate.e_score_correction_bias"]

    static let gptOss = GGUFFamily(
        modelType: "gpt_oss", className: "GptOssForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_local_experts", width: "intermediate_size")
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            try config.setWindows { $0 % 2 == 0 }
        },
        names: ["ffn_gate_inp": "mlp.router", "ffn_down_exps": "mlp.experts.*.down_proj"],
        endings: ["attn_sinks.weight": "self_attn.sinks"],
        joined: ["mlp.experts.*.gate_up_proj": ["ffn_gate_exps", "ffn_up_exps"]],
        truncatesYarn: false)

    static let graniteMoE = GGUFFamily(
        modelType: "granitemoe", className: "GraniteMoeForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_local_experts", width: nil)
            try setGraniteFactors(&config)
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            if let width = try config.whole("expert_shared_feed_forward_length"), width > 0 {
                config.set("model_type", "granitemoeshared")
                config.set(
                    "architectures",
                    ConfigNode(.array([ConfigNode(.string("GraniteMoeSharedForCausalLM"))])))
                config.set("shared_intermediate_size", width)
            }
        },
        names: [
            "ffn_gate_inp": "block_sparse_moe.router.layer",
            "ffn_down_exps": "block_sparse_moe.experts.*.output_linear",
            "ffn_down_shexp": "shared_mlp.output_linear",
        ],
        joined: [
            "block_sparse_moe.experts.*.input_linear": ["ffn_gate_exps", "ffn_up_exps"],
            "shared_mlp.input_linear": ["ffn_gate_shexp", "ffn_up_shexp"],
        ])

    /// A mixture of DeepSeek's form.
    static func setGrouped(_ config: inout GGUFConfig) throws(GGUFError) {
        try config.setExperts(count: "n_routed_experts", width: "moe_intermediate_size")
        config.set("n_shared_experts", try config.whole("expert_shared_count") ?? 0)
        config.set("first_k_dense_replace", try config.whole("leading_dense_block_count") ?? 0)
        config.set("routed_scaling_factor", try config.number("expert_weights_scale") ?? 1)
        config.set("norm_topk_prob", try config.truth("expert_weights_norm") ?? false)
        config.set("n_group", max(try config.whole("expert_group_count") ?? 1, 1))
        config.set("topk_group", max(try config.whole("expert_group_used_count") ?? 1, 1))
    }

    static let glm4MoE = GGUFFamily(
        modelType: "glm4_moe", className: "Glm4MoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try setGrouped(&config)
            try config.setRotaryShare()
            config.set("use_qk_norm", config.has("blk.0.attn_q_norm.weight"))
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        }, names: sharedExperts, endings: correction)

    static let dots1 = GGUFFamily(
        modelType: "dots1", className: "Dots1ForCausalLM",
        settings: { (config) throws(GGUFError) in
            try setGrouped(&config)
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            config.set("sliding_window", ConfigNode(.null))
        }, names: sharedExperts, endings: correction)

    static let ernie45MoE = GGUFFamily(
        modelType: "ernie4_5_moe", className: "Ernie4_5_MoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "moe_num_experts", width: "moe_intermediate_size")
            config.set("moe_k", try config.required("expert_used_count"))
            config.set("moe_num_shared_experts", try config.whole("expert_shared_count") ?? 0)
            config.set(
                "moe_layer_start_index", try config.whole("leading_dense_block_count") ?? 0)
            config.set(
                "moe_layer_interval", max(try config.whole("interleave_moe_layer_step") ?? 1, 1))
            config.set("use_bias", config.has("blk.0.attn_q.bias"))
        }, names: sharedExperts,
        endings: ["exp_probs_b.bias": "mlp.moe_statics.e_score_correction_bias"])

    static let phiMoE = GGUFFamily(
        modelType: "phimoe", className: "PhimoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_local_experts", width: nil)
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            config.set("lm_head_bias", config.has("output.bias"))
            try config.setWindow()
        }, names: mixtralNames)

    // MARK: Latent attention

    private static let latentNames = [
        "attn_q_a": "self_attn.q_a_proj", "attn_q_b": "self_attn.q_b_proj",
        "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_b": "self_attn.kv_b_proj",
        "attn_q_a_norm": "self_attn.q_a_layernorm", "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    ]

    /// Numbers of a head of queries, those of them that rotate, and numbers of a value.
    private static func latentWidths(
        _ config: GGUFConfig
    ) throws(GGUFError) -> (key: Int, rotated: Int, value: Int) {
        let own = try config.whole("attention.key_length_mla")
        let key = if let own { own } else { try config.required("attention.key_length") }
        let rotated = try config.required("rope.dimension_count")
        guard key > rotated else {
            throw config.file.fault(
                config.key("rope.dimension_count"), "(\(rotated)) is the whole head")
        }
        for name in ["attention.value_length_mla", "attention.value_length"] {
            if let value = try config.whole(name) { return (key, rotated, value) }
        }
        let heads = try config.required("attention.head_count")
        let both = config.tensors["blk.0.attn_kv_b.weight"]?.dims[0] ?? 0
        guard heads > 0, both % heads == 0, both / heads > key - rotated else {
            throw config.file.fault(config.key("attention.value_length"), "is missing")
        }
        return (key, rotated, both / heads - (key - rotated))
    }

    private static func setLatent(_ config: inout GGUFConfig) throws(GGUFError) {
        let widths = try latentWidths(config)
        config.set("num_key_value_heads", try config.required("attention.head_count"))
        config.set("qk_rope_head_dim", widths.rotated)
        config.set("qk_nope_head_dim", widths.key - widths.rotated)
        config.set("v_head_dim", widths.value)
        config.set("kv_lora_rank", try config.required("attention.kv_lora_rank"))
        let rank = try config.whole("attention.q_lora_rank") ?? 0
        config.set("q_lora_rank", rank > 0 ? ConfigNode(.integer(rank)) : ConfigNode(.null))
        config.set("attention_bias", config.has("blk.0.attn_kv_a_mqa.bias"))
        if let scale = try config.number("attention.temperature_scale"), scale != 0 {
            throw config.file.fault(
                config.key("attention.temperature_scale"),
                "(\(scale)) scales scores by the position, which is not supported", .unsupported)
        }
    }

    /// Keys and values of each head from the short vector: newer files have them in two tensors, that of keys turned.
    private static func addLatent(
        _ views: inout GGUFViews, _ stored: GGUFViews.Stored, _ path: String
    ) throws(GGUFError) -> Bool {
        guard stored.ending == "weight", stored.stem == "attn_k_b" || stored.stem == "attn_v_b"
        else { return false }
        let keys = try views.beside(stored, "attn_k_b")
        guard stored.stem == "attn_k_b" else { return true }
        let values = try views.beside(stored, "attn_v_b")
        let widths = try latentWidths(views.config)
        let (still, rank) = (
            widths.key - widths.rotated, try views.config.required("attention.kv_lora_rank")
        )
        let heads = try views.config.required("attention.head_count")
        guard keys.tensor.dims == [heads, rank, still] else { throw views.shapeFault(keys.tensor) }
        guard values.tensor.dims == [heads, widths.value, rank] else {
            throw views.shapeFault(values.tensor)
        }
        let runs = (0..<heads).flatMap { head in
            [
                GGUFView.Run(first: 0, count: still, turnedFrom: head * rank),
                GGUFView.Run(source: 1, first: head * widths.value, count: widths.value),
            ]
        }
        try views.append(
            GGUFView(
                name: path + "self_attn.kv_b_proj.weight",
                dims: [heads * (still + widths.value), rank], sources: [keys, values], runs: runs,
                columns: rank))
        return true
    }

    private static func deepSeek(
        _ modelType: String, _ className: String,
        _ settings: @escaping @Sendable (inout GGUFConfig) throws(GGUFError) -> Void
    ) -> GGUFFamily {
        GGUFFamily(
            modelType: modelType, className: className,
            settings: { (config) throws(GGUFError) in
                try setLatent(&config)
                try settings(&config)
            }, names: latentNames.merging(sharedExperts) { $1 }, endings: correction,
            isLatent: true, special: addLatent)
    }

    static let deepSeek2 = deepSeek("deepseek_v2", "DeepseekV2ForCausalLM") {
        (config) throws(GGUFError) in
        try setGrouped(&config)
        let groups = try config.whole("expert_group_count") ?? 1
        config.set("topk_method", groups > 1 ? "group_limited_greedy" : "greedy")
    }

    static let deepSeek3 = deepSeek("deepseek_v3", "DeepseekV3ForCausalLM") {
        (config) throws(GGUFError) in try setGrouped(&config)
    }

    static let youtu = deepSeek("youtu", "YoutuForCausalLM") { _ throws(GGUFError) in }

    /// The factors are those that all models have and files do not.
    static let miniCPM3 = deepSeek("minicpm3", "MiniCPM3ForCausalLM") {
        (config) throws(GGUFError) in
        config.set("scale_emb", 12)
        config.set("scale_depth", 1.4)
        config.set("dim_model_base", 256)
    }
}
