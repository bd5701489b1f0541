// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says about a model, from its config.json.
import EftConfig
import EftFormats
import EftGGUF
import EftModels
import EftNN

#if canImport(Glibc)
    import Glibc
#endif

/// Writes the settings of a model that llama.cpp reads.
struct GGUFSettings {
    private let folder: ModelFolder
    private let names: GGUFNames
    private var writer = GGUFHeaderWriter()

    /// The settings of a model's head, without its tokenizer.
    /// - Throws: `ConversionError` (`unsupported`) for what llama.cpp's architecture has no word for, `ConfigError`.
    static func write(
        _ folder: ModelFolder, _ names: GGUFNames, mix: GGUFMix
    ) throws -> GGUFHeaderWriter {
        var settings = GGUFSettings(folder: folder, names: names)
        try settings.add(mix)
        return settings.writer
    }

    private init(folder: ModelFolder, names: GGUFNames) {
        self.folder = folder
        self.names = names
    }

    private mutating func set(_ name: String, _ value: GGUFHeaderWriter.Value) {
        writer.set("\(names.architecture).\(name)", value)
    }

    private mutating func add(_ mix: GGUFMix) throws {
        let model = folder.description
        let shape = model.shape
        writer.set("general.architecture", .text(Array(names.architecture.utf8)))
        writer.set("general.type", .text(Array("model".utf8)))
        writer.set("general.name", .text(Array(FileSystem.name(of: folder.path).utf8)))
        writer.set("general.file_type", .whole(mix.fileType))
        writer.set("general.quantization_version", .whole(2))
        set("block_count", .whole(model.layers))
        set("context_length", .whole(model.contextLength))
        set("embedding_length", .whole(shape.hidden))
        set("feed_forward_length", .whole(shape.intermediate))
        set("attention.head_count", .whole(shape.heads))
        set("attention.head_count_kv", .whole(shape.kvHeads))
        set("attention.key_length", .whole(shape.headDim))
        set("attention.value_length", .whole(shape.headDim))
        set("attention.layer_norm_rms_epsilon", .real(Double(model.finalNorm.epsilon)))
        set("vocab_size", .whole(model.vocabulary))
        try addRotary()
        try addExperts()
        try addOwn()
    }

    private func fault(_ message: String) -> ConversionError {
        ConversionError(.unsupported, message, path: folder.path)
    }

    // MARK: Rotary embedding

    private mutating func addRotary() throws {
        let rotary = folder.description.rotary
        set("rope.dimension_count", .whole(rotary.headDim))
        set("rope.freq_base", .real(rotary.theta))
        switch rotary.scaling {
        case .none, .llama3: break
        case .linear(let factor):
            set("rope.scaling.type", .text(Array("linear".utf8)))
            set("rope.scaling.factor", .real(factor))
        case .yarn(let yarn):
            set("rope.scaling.type", .text(Array("yarn".utf8)))
            set("rope.scaling.factor", .real(yarn.factor))
            set("rope.scaling.original_context_length", .whole(yarn.originalContext))
            set("rope.scaling.yarn_beta_fast", .real(yarn.betaFast))
            set("rope.scaling.yarn_beta_slow", .real(yarn.betaSlow))
        case .dynamic, .long:
            throw fault("this scaling of rotary embeddings has no place in a GGUF file")
        }
        for other in folder.description.otherRotaries where other.scaling != .none {
            throw fault("a second rotary embedding that is scaled has no place in a GGUF file")
        }
    }

    /// By what each frequency is divided, where the file has that as a tensor (Llama 3).
    static func frequencyFactors(_ rotary: RotaryEmbedding) -> [Float]? {
        guard case .llama3(let factor, let low, let high, let context) = rotary.scaling else {
            return nil
        }
        return (0..<rotary.headDim / 2).map { index in
            let share = 2 * Double(index) / Double(rotary.headDim)
            let wave = 2 * Double.pi * pow(rotary.theta, share)
            if wave < Double(context) / high { return 1 }
            if wave > Double(context) / low { return Float(factor) }
            let smooth = (Double(context) / wave - low) / (high - low)
            return Float(1 / ((1 - smooth) / factor + smooth))
        }
    }

    // MARK: Mixtures, and what families have of their own

    private mutating func addExperts() throws {
        guard let mixture = folder.description.shape.mixture else { return }
        set("expert_count", .whole(mixture.experts))
        set("expert_used_count", .whole(mixture.expertsPerRow))
        if names.architecture != "llama" {
            set("expert_feed_forward_length", .whole(folder.description.shape.intermediate))
        }
        if let shared = mixture.shared {
            set("expert_shared_feed_forward_length", .whole(shared.intermediate))
        }
    }

    private mutating func addOwn() throws {
        let config = folder.config
        switch names.architecture {
        case "llama":
            if try config.optional("sliding_window")?.int() ?? 0 > 0 {
                throw fault(
                    "llama.cpp reads Mistral without windows, and this model has some (sliding_window)"
                )
            }
        case "gemma2", "gemma3":
            for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
                if let cap = try config.optional(key)?.double() { set(key, .real(cap)) }
            }
            if let window = try config.optional("sliding_window")?.int() {
                set("attention.sliding_window", .whole(window))
            }
            if names.architecture == "gemma3", let local = folder.description.otherRotaries.first {
                set("rope.freq_base_swa", .real(local.theta))
            }
        case "granite":
            for (key, name) in [
                ("attention_multiplier", "attention.scale"),
                ("embedding_multiplier", "embedding_scale"),
                ("residual_multiplier", "residual_scale"), ("logits_scaling", "logit_scale"),
            ] {
                if let value = try config.optional(key)?.double() { set(name, .real(value)) }
            }
        case "qwen2", "qwen3", "qwen2moe", "qwen3moe":
            if folder.description.kinds.contains(where: { $0.window != nil }) {
                throw fault("llama.cpp reads Qwen without windows, and this model uses some")
            }
        default: break
        }
    }
}
