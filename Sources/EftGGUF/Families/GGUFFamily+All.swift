// SPDX-License-Identifier: Apache-2.0
// One entry for each architecture of llama.cpp that is read.
import EftConfig

extension GGUFFamily {
    /// The family of a file.
    /// - Throws: `GGUFError` (`unsupported`, `missing`).
    static func of(_ file: GGUFFile) throws(GGUFError) -> (name: String, family: GGUFFamily) {
        guard let name = file.metadata["general.architecture"]?.text else {
            throw GGUFError(
                .missing, "the file does not say what it is (general.architecture)",
                path: file.path)
        }
        let type = file.metadata["general.type"]?.text ?? "model"
        if type == "imatrix" || name == "clip" {
            let what = name == "clip" ? "the part of a model that sees pictures" : "statistics"
            throw GGUFError(
                .unsupported, "this file is \(what); give the one with the language model",
                path: file.path)
        }
        return try named(file, hasExperts: (file.metadata["llama.expert_count"]?.whole ?? 0) > 0)
    }

    /// The family that a file's architecture means.
    /// - Parameter hasExperts: whether a model in Llama's form is a mixture.
    /// - Throws: `GGUFError` (`unsupported`, `missing`).
    static func named(
        _ file: GGUFFile, hasExperts: Bool
    ) throws(GGUFError) -> (name: String, family: GGUFFamily) {
        guard let name = file.metadata["general.architecture"]?.text else {
            throw GGUFError(
                .missing, "the file does not say what it is (general.architecture)",
                path: file.path)
        }
        guard var family = all[name] else {
            throw GGUFError(
                .unsupported,
                "models of the architecture '\(name.prefix(100))' are not read from GGUF files; read are "
                    + all.keys.sorted().joined(separator: ", "), path: file.path)
        }
        switch name {
        case "llama" where hasExperts: family = mixtral
        case "olmo2" where file.metadata["olmo2.attention.sliding_window"] != nil: family = olmo3
        case "falcon" where holds(file, "attn_norm_2.weight"): family = falconTwoNorms
        case "deepseek2":
            if (file.metadata["deepseek2.expert_count"]?.whole ?? 0) == 0 {
                family = youtu
            } else if holds(file, "exp_probs_b.bias")
                || file.metadata["deepseek2.expert_gating_func"]?.whole == 2
            {
                family = deepSeek3
            }
        default: break
        }
        return (name, family)
    }

    /// Whether a layer has a tensor.
    private static func holds(_ file: GGUFFile, _ ending: String) -> Bool {
        file.tensors.contains { $0.tensor.name.hasSuffix("." + ending) }
    }

    /// All architectures by the name that llama.cpp has for them.
    static let all: [String: GGUFFamily] = [
        "llama": llama, "qwen2": qwen2, "qwen3": qwen3, "qwen2moe": qwen2MoE,
        "qwen3moe": qwen3MoE, "gemma": gemma, "gemma2": gemma2, "gemma3": gemma3,
        "olmo2": GGUFFamily(modelType: "olmo2", className: "Olmo2ForCausalLM"),
        "olmoe": olmoE, "smollm3": smolLM3, "granite": granite, "command-r": commandR,
        "cohere2": cohere2, "starcoder2": starcoder2, "stablelm": stableLM, "phi2": phi2,
        "nemotron": nemotron, "exaone4": exaone4, "arcee": arcee, "seed_oss": seedOSS,
        "ernie4_5": ernie45, "hunyuan-dense": hunYuan, "phi3": phi3, "chatglm": glm, "glm4": glm4,
        "gptneox": gptNeoX, "gpt2": gpt2, "starcoder": starcoder, "falcon": falcon,
        "internlm2": internLM2, "baichuan": baichuan, "mistral3": mistral3, "gpt-oss": gptOss,
        "granitemoe": graniteMoE, "glm4moe": glm4MoE, "dots1": dots1, "ernie4_5-moe": ernie45MoE,
        "phimoe": phiMoE, "deepseek2": deepSeek2, "minicpm3": miniCPM3, "qwen3next": qwen3Next,
        "qwen35": qwen35, "qwen35moe": qwen35MoE,
    ]

    /// Biases as the tensors say.
    static func setBiases(_ config: inout GGUFConfig) {
        config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        config.set("mlp_bias", config.has("blk.0.ffn_up.bias"))
    }

    private static let llama = GGUFFamily(
        modelType: "llama", className: "LlamaForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            let width = try config.headDim()
            if let rotated = try config.whole("rope.dimension_count"), rotated != width {
                throw config.file.fault(
                    config.key("rope.dimension_count"),
                    "(\(rotated)) is not the \(width) of a head, which is not supported",
                    .unsupported)
            }
            setBiases(&config)
        })

    private static let mixtral = GGUFFamily(
        modelType: "mixtral", className: "MixtralForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_local_experts", width: nil)
            config.set("sliding_window", ConfigNode(.null))
        }, names: mixtralNames)

    static let mixtralNames = [
        "ffn_gate_inp": "block_sparse_moe.gate",
        "ffn_gate_exps": "block_sparse_moe.experts.*.w1",
        "ffn_up_exps": "block_sparse_moe.experts.*.w3",
        "ffn_down_exps": "block_sparse_moe.experts.*.w2",
        "ffn_gate": "block_sparse_moe.experts.*.w1", "ffn_up": "block_sparse_moe.experts.*.w3",
        "ffn_down": "block_sparse_moe.experts.*.w2",
    ]

    private static let qwen2 = GGUFFamily(modelType: "qwen2", className: "Qwen2ForCausalLM")

    private static let qwen3 = GGUFFamily(
        modelType: "qwen3", className: "Qwen3ForCausalLM",
        settings: { (config) throws(GGUFError) in
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        })

    private static let qwen2MoE = GGUFFamily(
        modelType: "qwen2_moe", className: "Qwen2MoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_experts", width: "moe_intermediate_size")
            config.set("norm_topk_prob", false)
            config.set("qkv_bias", config.has("blk.0.attn_q.bias"))
            if let width = try config.whole("expert_shared_feed_forward_length") {
                config.set("shared_expert_intermediate_size", width)
            } else if let gate = config.tensors["blk.0.ffn_gate_shexp.weight"] {
                config.set("shared_expert_intermediate_size", gate.dims[0])
            }
        })

    private static let qwen3MoE = GGUFFamily(
        modelType: "qwen3_moe", className: "Qwen3MoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_experts", width: "moe_intermediate_size")
            config.set("norm_topk_prob", true)
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        })

    private static let olmoE = GGUFFamily(
        modelType: "olmoe", className: "OlmoeForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setExperts(count: "num_experts", width: nil)
            config.set("norm_topk_prob", false)
            if let clip = try config.number("attention.clamp_kqv"), clip > 0 {
                config.set("clip_qkv", clip)
            }
        })

    private static let gemma = GGUFFamily(
        modelType: "gemma", className: "GemmaForCausalLM", activation: "gelu_pytorch_tanh",
        hasShiftedNorms: true)

    /// The number whose root divides scores, which the largest models have of their own.
    private static func setScale(
        _ config: inout GGUFConfig, largestHas layers: Int
    ) throws(GGUFError) {
        let (hidden, heads) = (
            try config.required("embedding_length"), try config.required("attention.head_count")
        )
        let isLargest = try config.layers() == layers
        config.set(
            "query_pre_attn_scalar", isLargest ? hidden / max(heads, 1) : try config.headDim())
    }

    private static let gemmaNorms = ["ffn_norm": "pre_feedforward_layernorm"]

    private static let gemma2 = GGUFFamily(
        modelType: "gemma2", className: "Gemma2ForCausalLM", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in
            config.set("hidden_activation", "gelu_pytorch_tanh")
            try setScale(&config, largestHas: 46)
            config.set(
                "attn_logit_softcapping", try config.number("attn_logit_softcapping") ?? 50)
            config.set(
                "final_logit_softcapping", try config.number("final_logit_softcapping") ?? 30)
            try config.setWindows { $0 % 2 == 0 }
        }, names: gemmaNorms)

    private static let gemma3 = GGUFFamily(
        modelType: "gemma3_text", className: "Gemma3ForCausalLM", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in
            config.set("hidden_activation", "gelu_pytorch_tanh")
            try setScale(&config, largestHas: 62)
            config.set("attn_logit_softcapping", ConfigNode(.null))
            let cap = try config.number("final_logit_softcapping")
            config.set("final_logit_softcapping", ConfigNode(cap.map { .real($0) } ?? .null))
            config.set("rope_local_base_freq", try config.number("rope.freq_base_swa") ?? 10000)
            try config.setWindows { ($0 + 1) % 6 != 0 }
        }, names: gemmaNorms)

    private static let olmo3 = GGUFFamily(
        modelType: "olmo3", className: "Olmo3ForCausalLM",
        settings: { (config) throws(GGUFError) in
            try config.setWindows { ($0 + 1) % 4 != 0 }
        })

    private static let smolLM3 = GGUFFamily(
        modelType: "smollm3", className: "SmolLM3ForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            setBiases(&config)
            config.set("no_rope_layer_interval", 4)
            config.set("use_sliding_window", false)
            let layers = try config.layers()
            config.set(
                "no_rope_layers",
                ConfigNode(
                    .array((0..<layers).map { ConfigNode(.integer(($0 + 1) % 4 != 0 ? 1 : 0)) })))
        })

    private static let granite = GGUFFamily(
        modelType: "granite", className: "GraniteForCausalLM", isInterleaved: true,
        settings: { (config) throws(GGUFError) in
            setBiases(&config)
            try setGraniteFactors(&config)
        })

    static func setGraniteFactors(_ config: inout GGUFConfig) throws(GGUFError) {
        for (name, key) in [
            ("attention.scale", "attention_multiplier"),
            ("embedding_scale", "embedding_multiplier"),
            ("residual_scale", "residual_multiplier"), ("logit_scale", "logits_scaling"),
        ] {
            if let value = try config.number(name) { config.set(key, value) }
        }
    }

    private static let commandR = GGUFFamily(
        modelType: "cohere", className: "CohereForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_eps",
        settings: { (config) throws(GGUFError) in
            if let scale = try config.number("logit_scale") { config.set("logit_scale", scale) }
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            config.set("use_qk_norm", config.has("blk.0.attn_q_norm.weight"))
        })

    private static let cohere2 = GGUFFamily(
        modelType: "cohere2", className: "Cohere2ForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_eps",
        settings: { (config) throws(GGUFError) in
            if let scale = try config.number("logit_scale") { config.set("logit_scale", scale) }
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            try config.setWindows { ($0 + 1) % 4 != 0 }
        })

    private static let starcoder2 = GGUFFamily(
        modelType: "starcoder2", className: "Starcoder2ForCausalLM", isLayerNorm: true,
        epsilonKey: "norm_epsilon", activation: "gelu_pytorch_tanh",
        settings: { (config) throws(GGUFError) in
            config.set("use_bias", config.has("blk.0.attn_q.bias"))
            config.set("sliding_window", ConfigNode(.null))
        }, names: ["ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"])

    private static let stableLM = GGUFFamily(
        modelType: "stablelm", className: "StableLmForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_eps",
        settings: { (config) throws(GGUFError) in
            try config.setRotaryShare()
            config.set("use_qkv_bias", config.has("blk.0.attn_q.bias"))
            config.set("use_parallel_residual", !config.has("blk.0.ffn_norm.weight"))
            config.set("qk_layernorm", config.has("blk.0.attn_q_norm.weight"))
        })

    private static let phi2 = GGUFFamily(
        modelType: "phi", className: "PhiForCausalLM", isLayerNorm: true,
        epsilonKey: "layer_norm_eps", activation: "gelu_new",
        settings: { (config) throws(GGUFError) in try config.setRotaryShare() },
        names: [
            "attn_output": "self_attn.dense", "ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2",
        ], outerNames: ["output_norm": "model.final_layernorm"])

    private static let nemotron = GGUFFamily(
        modelType: "nemotron", className: "NemotronForCausalLM", isLayerNorm: true,
        epsilonKey: "norm_eps", activation: "relu2", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in
            setBiases(&config)
            try config.setRotaryShare()
        })

    private static let exaone4 = GGUFFamily(
        modelType: "exaone4", className: "Exaone4ForCausalLM",
        settings: { (config) throws(GGUFError) in try config.setWindows { ($0 + 1) % 4 != 0 } })

    private static let arcee = GGUFFamily(
        modelType: "arcee", className: "ArceeForCausalLM", activation: "relu2",
        isInterleaved: true,
        settings: { (config) throws(GGUFError) in setBiases(&config) })

    private static let seedOSS = GGUFFamily(
        modelType: "seed_oss", className: "SeedOssForCausalLM",
        settings: { (config) throws(GGUFError) in
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
            config.set("attention_out_bias", config.has("blk.0.attn_output.bias"))
            config.set("mlp_bias", config.has("blk.0.ffn_up.bias"))
        })

    private static let ernie45 = GGUFFamily(
        modelType: "ernie4_5", className: "Ernie4_5ForCausalLM",
        settings: { (config) throws(GGUFError) in
            config.set("use_bias", config.has("blk.0.attn_q.bias"))
        })

    private static let hunYuan = GGUFFamily(
        modelType: "hunyuan_v1_dense", className: "HunYuanDenseV1ForCausalLM",
        settings: { (config) throws(GGUFError) in
            config.set("attention_bias", config.has("blk.0.attn_q.bias"))
        },
        names: [
            "attn_q_norm": "self_attn.query_layernorm", "attn_k_norm": "self_attn.key_layernorm",
        ])
}
