// SPDX-License-Identifier: Apache-2.0
// What llama.cpp calls the parts of a model in Hugging Face's form.

/// An architecture that GGUF files are written of.
package struct GGUFNames: Sendable {
    /// The name of llama.cpp's architecture.
    package let architecture: String
    private let family: GGUFFamily

    /// Whether one product makes both factors of an MLP, and stands in one tensor.
    package var fusesGateUp: Bool { family.fusesGateUp }
    /// Whether keys and values of latent attention are made by a tensor each.
    package var splitsLatent: Bool { architecture == "deepseek2" }

    /// Model types whose files are written, and llama.cpp's architecture of each.
    private static let architectures = [
        "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2",
        "qwen3": "qwen3", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gemma": "gemma",
        "gemma2": "gemma2", "gemma3_text": "gemma3", "gemma3": "gemma3", "smollm3": "smollm3",
        "granite": "granite", "arcee": "arcee", "cohere": "command-r", "cohere2": "cohere2",
        "ernie4_5": "ernie4_5", "exaone4": "exaone4", "hunyuan_v1_dense": "hunyuan-dense",
        "nemotron": "nemotron", "olmo2": "olmo2", "olmo3": "olmo2", "olmoe": "olmoe",
        "seed_oss": "seed_oss", "stablelm": "stablelm", "phi3": "phi3", "phimoe": "phimoe",
        "falcon": "falcon", "gpt_neox": "gptneox", "gpt_bigcode": "starcoder",
        "minicpm3": "minicpm3", "glm4": "glm4", "deepseek_v2": "deepseek2",
        "deepseek_v3": "deepseek2", "kimi_k2": "deepseek2", "glm4_moe_lite": "deepseek2",
        "youtu": "deepseek2", "glm4_moe": "glm4moe", "dots1": "dots1",
        "ernie4_5_moe": "ernie4_5-moe", "granitemoe": "granitemoe",
        "granitemoeshared": "granitemoe", "gpt_oss": "gpt-oss", "qwen3_next": "qwen3next",
        "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe", "phi": "phi2", "glm": "chatglm",
        "starcoder2": "starcoder2",
    ]

    /// Architectures whose files call the norm before the MLP by the place behind attention.
    private static let namesNormByAttention: Set = [
        "exaone4", "glm4moe", "gpt-oss", "olmo2", "qwen35", "qwen35moe", "qwen3next", "seed_oss",
    ]

    /// Model types whose files are written.
    package static var modelTypes: [String] { architectures.keys.sorted() }

    /// The names of a model type; nil when no files of it are written.
    /// - Parameter hasTwoNorms: whether attention and MLP that stand side by side have a norm each.
    package init?(modelType: String, hasTwoNorms: Bool = false) {
        guard let architecture = GGUFNames.architectures[modelType],
            var family = GGUFFamily.all[architecture]
        else { return nil }
        if architecture == "falcon", hasTwoNorms { family = .falconTwoNorms }
        self.architecture = architecture
        self.family = family
    }

    /// llama.cpp's name of a norm of a layer, by its name below the layer's path; nil when there is none.
    package func norm(_ local: String) -> String? {
        let stems = [
            "attn_norm", "attn_norm_2", "ffn_norm", "attn_q_norm", "attn_k_norm",
            "post_attention_norm", "post_ffw_norm", "attn_q_a_norm", "attn_kv_a_norm", "ssm_norm",
        ]
        let found = stems.filter { (family.names[$0] ?? GGUFFamily.layerNames[$0]) == local }
        return GGUFNames.namesNormByAttention.contains(architecture) ? found.last : found.first
    }
}

/// Names of ways to cut text into words.
package enum GGUFPreTokenizations {
    /// The name that llama.cpp has for regular expressions, each of which cuts what the one before it left; nil for others.
    package static func name(of patterns: [String], ignoresMerges: Bool) -> String? {
        PreTokenization.name(of: patterns, ignoresMerges: ignoresMerges)
    }
}
