// SPDX-License-Identifier: Apache-2.0
// Families with queries, keys and values in one product, or both factors of the MLP.
import EftConfig

extension GGUFFamily {
    static let phi3 = GGUFFamily(
        modelType: "phi3", className: "Phi3ForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setRotaryShare()
            try config.setWindow()
        }, names: ["attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"],
        fusesGateUp: true)

    static let glm = GGUFFamily(
        modelType: "glm", className: "GlmForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setRotaryShare()
            config.set(
                "attention_bias",
                config.has("blk.0.attn_q.bias") || config.has("blk.0.attn_qkv.bias"))
        }, names: ["ffn_up": "mlp.gate_up_proj"], fusesGateUp: true)

    static let glm4 = GGUFFamily(
        modelType: "glm4", className: "Glm4ForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setRotaryShare()
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        },
        names: [
            "ffn_up": "mlp.gate_up_proj", "post_attention_norm": "post_self_attn_layernorm",
            "post_ffw_norm": "post_mlp_layernorm",
        ], fusesGateUp: true)

    // MARK: GPT

    static let gptNeoX = GGUFFamily(
        modelType: "gpt_neox", className: "GPTNeoXForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_eps", activation: "gelu",
        settings: { (config) throws(GGUFError) in
            if let share = try config.rotaryShare() { config.set("rotary_pct", share) }
            config.set("attention_bias", config.has("blk.0.attn_qkv.bias"))
            config.set("use_parallel_residual", try config.truth("use_parallel_residual") ?? true)
        },
        names: [
            "attn_qkv": "attention.query_key_value", "attn_output": "attention.dense",
            "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h",
        ],
        outerNames: [
            "token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm",
            "output": "embed_out",
        ], layersPath: "gpt_neox.layers", groupsHeads: true)

    private static let gpt2Names = [
        "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "attn_norm": "ln_1",
        "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
    ]
    private static let gpt2OuterNames = [
        "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
    ]

    private static func setGPT2(
        _ config: inout GGUFConfig, sharesKeys: Bool
    ) throws(GGUFError) {
        for (name, key) in [
            ("embedding_length", "n_embd"), ("attention.head_count", "n_head"),
            ("context_length", "n_positions"),
        ] { config.set(key, try config.required(name)) }
        config.set("n_layer", try config.layers())
        if let up = config.tensors["blk.0.ffn_up.weight"] { config.set("n_inner", up.dims[0]) }
        config.set("multi_query", sharesKeys)
    }

    /// GPT-2 has its matrices by inputs in Hugging Face's form, and files by outputs, as StarCoder 1 has them in both: as
    /// such a model it is read where it stands.
    static let gpt2 = GGUFFamily(
        modelType: "gpt_bigcode", className: "GPTBigCodeForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_epsilon",
        settings: { (config) throws(GGUFError) in try setGPT2(&config, sharesKeys: false) },
        names: gpt2Names, outerNames: gpt2OuterNames, layersPath: "transformer.h",
        groupsHeads: true)

    static let starcoder = GGUFFamily(
        modelType: "gpt_bigcode", className: "GPTBigCodeForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_epsilon",
        settings: { (config) throws(GGUFError) in try setGPT2(&config, sharesKeys: true) },
        names: gpt2Names, outerNames: gpt2OuterNames, layersPath: "transformer.h")

    // MARK: Falcon

    private static func falcon(norms: [String: String], count: Int) -> GGUFFamily {
        GGUFFamily(
            modelType: "falcon", className: "FalconForCausalLM", isLayerNorm: true,
            epsilonKey: "layer_norm_epsilon",
            settings: { (config) throws(GGUFError) in
                let keys = try config.whole("attention.head_count_kv") ?? 1
                config.set("num_kv_heads", keys)
                config.set("multi_query", true)
                config.set("new_decoder_architecture", keys > 1 || count == 2)
                config.set("num_ln_in_parallel_attn", count)
                config.set("parallel_attn", true)
                config.set("alibi", false)
                config.set("bias", config.has("blk.0.attn_qkv.bias"))
                if let up = config.tensors["blk.0.ffn_up.weight"] {
                    config.set("ffn_hidden_size", up.dims[0])
                }
            },
            names: [
                "attn_qkv": "self_attention.query_key_value", "attn_output": "self_attention.dense",
                "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h",
            ].merging(norms) { $1 },
            outerNames: [
                "token_embd": "transformer.word_embeddings", "output_norm": "transformer.ln_f",
            ], layersPath: "transformer.h", groupsHeads: true)
    }

    static let falcon = falcon(norms: [:], count: 1)
    /// Falcon 40B, which norms what attention and the MLP read apart.
    static let falconTwoNorms = falcon(
        norms: ["attn_norm": "ln_mlp", "attn_norm_2": "ln_attn"], count: 2)

    // MARK: Llama's form under another name

    static let internLM2 = GGUFFamily(
        modelType: "llama", className: "LlamaForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in setBiases(&config) })

    static let baichuan = GGUFFamily(
        modelType: "llama", className: "LlamaForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            // The smaller sizes rotate; the second version has a head whose rows are normed.
            let rows = config.tensors["token_embd.weight"]?.dims[0]
            guard try config.required("embedding_length") <= 4096, rows != 125_696 else {
                throw GGUFError(
                    .unsupported,
                    "Baichuan 13B (positions by distance) and Baichuan 2 (a normed head) are not read, only Baichuan 7B",
                    path: config.file.path)
            }
        })

    static let mistral3 = GGUFFamily(
        modelType: "mistral", className: "MistralForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            if let scale = try config.number("attention.temperature_scale"), scale != 0 {
                throw config.file.fault(
                    config.key("attention.temperature_scale"),
                    "(\(scale)) scales scores by the position, as Ministral 3 does, which is not supported",
                    .unsupported)
            }
            try config.setWindow()
        })
}
