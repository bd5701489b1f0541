// SPDX-License-Identifier: Apache-2.0
// The chat templates that can be named instead of given.

/// Chat templates by the names of model families, as Axolotl's key `chat_template` has them.
///
/// The texts are Eft's own; they write what the public templates of those names write for messages of text.
package enum ChatTemplateFamily {
    /// One line for each family.
    private static let sources: [String: String] = [
        "alpaca": PlainFamilies.alpaca,
        "aya": PlainFamilies.cohere,
        "chatml": PlainFamilies.chatML,
        "cohere": PlainFamilies.cohere,
        "deepseek_v2": DeepSeekFamilies.v2,
        "deepseek_v3": DeepSeekFamilies.v3,
        "exaone": ExaoneFamilies.exaone,
        "exaone4": ExaoneFamilies.exaone4,
        "falcon_h1": QwenFamilies.falconH1,
        "gemma": GemmaFamilies.gemma,
        "gemma3": GemmaFamilies.gemma3,
        "gemma3n": GemmaFamilies.gemma3,
        "gemma4": GemmaFamilies.gemma4,
        "gemma4_unified": GemmaFamilies.gemma4,
        "jamba": JambaFamily.jamba,
        "llama3": LlamaFamilies.llama3,
        "llama3_2_vision": LlamaFamilies.llama3Vision,
        "llama4": LlamaFamilies.llama4,
        "llava": PlainFamilies.llava,
        "metharme": PlainFamilies.metharme,
        "mistral_v1": MistralFamilies.v1,
        "mistral_v2v3": MistralFamilies.v2v3,
        "mistral_v3_tekken": MistralFamilies.v3Tekken,
        "mistral_v7_tekken": MistralFamilies.v7Tekken,
        "nemotron_h": PlainFamilies.nemotronH,
        "phi_3": PlainFamilies.phi3,
        "phi_35": PlainFamilies.phi35,
        "phi_4": PlainFamilies.phi4,
        "pixtral": MistralFamilies.pixtral,
        "qwen2_vl": QwenFamilies.qwen2VL,
        "qwen3": QwenFamilies.qwen3,
        "qwen3_5": QwenFamilies.qwen3,
        "qwen_25": QwenFamilies.qwen25,
    ]

    /// Families whose templates consist of long instructions that belong to their models.
    package static let unavailable = ["command_a", "command_a_rag", "command_a_tool_use"]

    /// The names in alphabetical order.
    package static let names: [String] = sources.keys.sorted()

    /// The template of a family; nil when there is none of that name.
    package static func source(_ name: String) -> String? { sources[name] }
}
