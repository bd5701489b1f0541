// SPDX-License-Identifier: Apache-2.0
// The shapes of known models, as their config.json spells them.
import EftConfig
import EftModels

/// A known model's shape.
package struct NamedShape: Sendable {
    /// What `eft bench shape` calls it.
    package let name: String
    /// Layers of the real model.
    package let layers: Int
    let vocabulary: Int, hidden: Int, intermediate: Int
    let heads: Int, kvHeads: Int, headDim: Int
    let ropeTheta: Double, context: Int, tied: Bool
    let family: Family

    /// What `config.json` says of the architecture.
    package enum Family: Sendable {
        case llama
        case qwen3
        /// A mixture of 8 experts, 2 for each token.
        case mixtral
        /// Capped scores and logits, a window in every other layer.
        case gemma2
        /// A window in five layers of six.
        case gemma3(window: Int = 1024)
        /// Experts as wide as `intermediate`.
        case qwen3MoE(experts: Int, expertsPerRow: Int)
        /// The same beside an MLP that acts on all rows.
        case qwen2MoE(experts: Int, expertsPerRow: Int, shared: Int)
        /// One product for queries, keys and values and one for both factors of the MLP; three quarters of a head rotate,
        /// stretched beyond 4096 positions.
        case phi3
        /// Experts as wide as `intermediate` with biases, sinks, a window in every other layer.
        case gptOss(experts: Int, expertsPerRow: Int, window: Int = 128)
    }

    /// Names a shape.
    package init(
        name: String, family: Family = .llama, vocabulary: Int, hidden: Int, intermediate: Int,
        layers: Int, heads: Int,
        kvHeads: Int, headDim: Int, ropeTheta: Double, context: Int, tied: Bool
    ) {
        self.name = name
        self.family = family
        (self.vocabulary, self.hidden, self.intermediate) = (vocabulary, hidden, intermediate)
        (self.layers, self.heads, self.kvHeads, self.headDim) = (layers, heads, kvHeads, headDim)
        (self.ropeTheta, self.context, self.tied) = (ropeTheta, context, tied)
    }

    /// TinyLlama-1.1B, which the benchmarks of whole models run.
    package static let tinyLlama = NamedShape(
        name: "tinyllama-1.1b", vocabulary: 32000, hidden: 2048, intermediate: 5632, layers: 22,
        heads: 32, kvHeads: 4, headDim: 64, ropeTheta: 10000, context: 2048, tied: false)

    /// All shapes.
    package static let all = [
        tinyLlama,
        NamedShape(
            name: "llama-3.2-1b", vocabulary: 128_256, hidden: 2048, intermediate: 8192, layers: 16,
            heads: 32, kvHeads: 8, headDim: 64, ropeTheta: 500_000, context: 131_072, tied: true),
        NamedShape(
            name: "llama-3.1-8b", vocabulary: 128_256, hidden: 4096, intermediate: 14336,
            layers: 32, heads: 32, kvHeads: 8, headDim: 128, ropeTheta: 500_000, context: 131_072,
            tied: false),
        NamedShape(
            name: "llama-3-70b", vocabulary: 128_256, hidden: 8192, intermediate: 28672,
            layers: 80, heads: 64, kvHeads: 8, headDim: 128, ropeTheta: 500_000, context: 8192,
            tied: false),
        NamedShape(
            name: "qwen3-32b", family: .qwen3, vocabulary: 151_936, hidden: 5120,
            intermediate: 25600, layers: 64, heads: 64, kvHeads: 8, headDim: 128,
            ropeTheta: 1_000_000, context: 40960, tied: false),
        NamedShape(
            name: "mixtral-8x7b", family: .mixtral, vocabulary: 32000, hidden: 4096,
            intermediate: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128,
            ropeTheta: 1_000_000, context: 32768, tied: false),
        NamedShape(
            name: "gemma-3-4b", family: .gemma3(), vocabulary: 262_208, hidden: 2560,
            intermediate: 10240, layers: 34, heads: 8, kvHeads: 4, headDim: 256,
            ropeTheta: 1_000_000, context: 131_072, tied: true),
        NamedShape(
            name: "qwen3-30b-a3b", family: .qwen3MoE(experts: 128, expertsPerRow: 8),
            vocabulary: 151_936, hidden: 2048, intermediate: 768, layers: 48, heads: 32, kvHeads: 4,
            headDim: 128, ropeTheta: 1_000_000, context: 40960, tied: false),
        NamedShape(
            name: "phi-4-mini", family: .phi3, vocabulary: 200_064, hidden: 3072,
            intermediate: 8192, layers: 32, heads: 24, kvHeads: 8, headDim: 128, ropeTheta: 10000,
            context: 131_072, tied: true),
        NamedShape(
            name: "gpt-oss-20b", family: .gptOss(experts: 32, expertsPerRow: 4),
            vocabulary: 201_088, hidden: 2880, intermediate: 2880, layers: 24, heads: 64,
            kvHeads: 8, headDim: 64, ropeTheta: 150_000, context: 131_072, tied: false),
    ]

    /// The shape as a Hugging Face configuration, of any number of layers.
    package func config(layers: Int, dtype: String) -> ConfigObject {
        var config: ConfigObject = [
            "vocab_size": ConfigNode(vocabulary), "hidden_size": ConfigNode(hidden),
            "intermediate_size": ConfigNode(intermediate),
            "num_hidden_layers": ConfigNode(layers), "num_attention_heads": ConfigNode(heads),
            "num_key_value_heads": ConfigNode(kvHeads), "head_dim": ConfigNode(headDim),
            "max_position_embeddings": ConfigNode(context), "rope_theta": ConfigNode(ropeTheta),
            "hidden_act": "silu", "tie_word_embeddings": ConfigNode(tied),
            "attention_bias": false, "torch_dtype": ConfigNode(dtype),
        ]
        for (key, value) in family.entries(intermediate: intermediate, headDim: headDim) {
            config[key] = value
        }
        return config
    }

    /// The shape as the decoder knows it, of any number of layers.
    /// - Throws: `ConfigError` or `ModelError` when no decoder can have it.
    package func description(layers: Int) throws -> DecoderDescription {
        try ArchitectureRegistry.describe(
            ConfigCursor(ConfigNode(config(layers: layers, dtype: "bfloat16"))))
    }
}

extension NamedShape.Family {
    /// The keys in which families differ.
    fileprivate func entries(intermediate: Int, headDim: Int) -> [(String, ConfigNode)] {
        switch self {
        case .llama:
            [
                ("architectures", ["LlamaForCausalLM"]), ("model_type", "llama"),
                ("rms_norm_eps", 1e-5), ("mlp_bias", false),
            ]
        case .qwen3:
            [
                ("architectures", ["Qwen3ForCausalLM"]), ("model_type", "qwen3"),
                ("rms_norm_eps", 1e-6), ("use_sliding_window", false),
            ]
        case .mixtral:
            [
                ("architectures", ["MixtralForCausalLM"]), ("model_type", "mixtral"),
                ("rms_norm_eps", 1e-5), ("num_local_experts", 8), ("num_experts_per_tok", 2),
                ("sliding_window", .null),
            ]
        case .gemma2:
            [
                ("architectures", ["Gemma2ForCausalLM"]), ("model_type", "gemma2"),
                ("rms_norm_eps", 1e-6), ("sliding_window", 4096),
                ("hidden_activation", "gelu_pytorch_tanh"),
            ]
        case .gemma3(let window):
            [
                ("architectures", ["Gemma3ForCausalLM"]), ("model_type", "gemma3_text"),
                ("rms_norm_eps", 1e-6), ("sliding_window", ConfigNode(window)),
                ("hidden_activation", "gelu_pytorch_tanh"),
            ]
        case .qwen3MoE(let experts, let chosen):
            [
                ("architectures", ["Qwen3MoeForCausalLM"]), ("model_type", "qwen3_moe"),
                ("rms_norm_eps", 1e-6), ("num_experts", ConfigNode(experts)),
                ("num_experts_per_tok", ConfigNode(chosen)), ("norm_topk_prob", true),
                ("moe_intermediate_size", ConfigNode(intermediate)),
            ]
        case .qwen2MoE(let experts, let chosen, let shared):
            [
                ("architectures", ["Qwen2MoeForCausalLM"]), ("model_type", "qwen2_moe"),
                ("rms_norm_eps", 1e-6), ("num_experts", ConfigNode(experts)),
                ("num_experts_per_tok", ConfigNode(chosen)), ("qkv_bias", false),
                ("moe_intermediate_size", ConfigNode(intermediate)),
                ("shared_expert_intermediate_size", ConfigNode(shared)),
            ]
        case .phi3:
            phi3(frequencies: headDim * 3 / 8)
        case .gptOss(let experts, let chosen, let window):
            [
                ("architectures", ["GptOssForCausalLM"]), ("model_type", "gpt_oss"),
                ("rms_norm_eps", 1e-5), ("num_local_experts", ConfigNode(experts)),
                ("num_experts_per_tok", ConfigNode(chosen)), ("attention_bias", true),
                ("sliding_window", ConfigNode(window)),
                (
                    "rope_scaling",
                    [
                        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                        "original_max_position_embeddings": 4096, "truncate": false,
                    ]
                ),
            ]
        }
    }

    private func phi3(frequencies: Int) -> [(String, ConfigNode)] {
        let factors = ConfigNode([ConfigNode](repeating: ConfigNode(1.0), count: frequencies))
        return [
            ("architectures", ["Phi3ForCausalLM"]), ("model_type", "phi3"),
            ("rms_norm_eps", 1e-5), ("sliding_window", 262_144),
            ("original_max_position_embeddings", 4096), ("partial_rotary_factor", 0.75),
            (
                "rope_scaling",
                ["type": "longrope", "short_factor": factors, "long_factor": factors]
            ),
        ]
    }
}
