// SPDX-License-Identifier: Apache-2.0
// What llama.cpp calls the parts of a model in Hugging Face's form.

/// An architecture that GGUF files are written of.
package struct GGUFNames: Sendable {
    /// The name of llama.cpp's architecture.
    package let architecture: String
    private let family: GGUFFamily

    /// Whether rows of queries and keys are stored as neighbours rotate together.
    package var isInterleaved: Bool { family.isInterleaved }
    /// Whether norms are stored with one added.
    package var hasShiftedNorms: Bool { family.hasShiftedNorms }

    /// Model types whose files are written, and llama.cpp's architecture of each.
    private static let architectures = [
        "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2",
        "qwen3": "qwen3", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gemma": "gemma",
        "gemma2": "gemma2", "gemma3_text": "gemma3", "gemma3": "gemma3", "smollm3": "smollm3",
        "granite": "granite",
    ]

    /// Model types whose files are written.
    package static var modelTypes: [String] { architectures.keys.sorted() }

    /// The names of a model type; nil when no files of it are written.
    package init?(modelType: String) {
        guard let architecture = GGUFNames.architectures[modelType],
            let family = GGUFFamily.all[architecture]
        else { return nil }
        self.architecture = architecture
        self.family = family
    }

    /// llama.cpp's name of a norm of a layer, by its name below the layer's path; nil when there is none.
    package func norm(_ local: String) -> String? {
        let stems = [
            "attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm", "post_attention_norm",
            "post_ffw_norm",
        ]
        return stems.first { (family.names[$0] ?? GGUFFamily.layerNames[$0]) == local }
    }
}

/// Names of ways to cut text into words.
package enum GGUFPreTokenizations {
    /// The name that llama.cpp has for regular expressions, each of which cuts what the one before it left; nil for others.
    package static func name(of patterns: [String], ignoresMerges: Bool) -> String? {
        PreTokenization.name(of: patterns, ignoresMerges: ignoresMerges)
    }
}
