// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that all models of the Llama form share.
import EftConfig
import EftNN

/// Reads what models of the Llama form have in common; the architectures add their differences.
enum LlamaFamily {
    /// Largest extents that are believed: beyond, a config is damaged, and products of extents might overflow.
    private static let largestExtent = 1 << 24
    private static let largestWidth = 1 << 20
    private static let mostLayers = 1 << 12
    private static let mostExperts = 1 << 12
    /// The largest product of layers, experts and width; the largest model of today has two thirds of it.
    private static let largestMixture = 1 << 28
    /// The largest product of layers and width; the largest model of today has a tenth of it.
    private static let largestVolume = 1 << 26

    /// What is not in `config.json` but follows from the architecture.
    struct Traits {
        /// The architecture's name where the config does not give it.
        var architecture = "LlamaForCausalLM"
        var queryKeyValueBias = false
        var outputBias = false
        var mlpBias = false
        /// Whether each head of queries and keys is normed.
        var normsHeads = false
        /// What the checkpoint calls the parts of the MLP.
        var mlpNames = DecoderDescription.MLPNames()
        /// D where the config does not give it; the hidden size over the number of heads when nil.
        var headDim: Int?
    }

    static func describe(_ config: ConfigCursor, _ traits: Traits) throws -> DecoderDescription {
        let hidden = try extent("hidden_size", config, most: largestWidth)
        let heads = try extent("num_attention_heads", config, most: largestWidth)
        let kvHeads =
            try config.optional("num_key_value_heads") == nil
            ? heads : extent("num_key_value_heads", config)
        let headDim =
            try config.optional("head_dim") == nil
            ? traits.headDim ?? hidden / heads : extent("head_dim", config, most: largestWidth)
        guard heads % kvHeads == 0 else {
            throw config.error(
                .badValue,
                "num_attention_heads (\(heads)) is no multiple of num_key_value_heads (\(kvHeads))")
        }
        guard headDim > 0, headDim % 2 == 0 else {
            throw config.error(.badValue, "head_dim (\(headDim)) must be even and positive")
        }
        guard heads * headDim <= largestWidth else {
            throw config.error(
                .badValue,
                "\(heads) heads of head_dim \(headDim) are wider than any model (\(largestWidth))")
        }
        let activation = try config.string("hidden_act", default: "silu")
        guard activation == "silu" || activation == "swish" else {
            throw ModelError(
                .unsupported, "hidden_act '\(activation)' is not supported; supported is silu",
                path: config.file)
        }
        let context =
            try config.optional("max_position_embeddings") == nil
            ? 2048 : extent("max_position_embeddings", config)
        let epsilon = try config.double("rms_norm_eps", default: 1e-6)
        guard epsilon > 0, epsilon < 1 else {
            throw config.error(.badValue, "rms_norm_eps (\(epsilon)) must lie between 0 and 1")
        }
        let layers = try extent("num_hidden_layers", config, most: mostLayers)
        let intermediate = try extent("intermediate_size", config, most: largestWidth)
        let widest = max(hidden, intermediate, heads * headDim)
        guard layers * widest <= largestVolume else {
            throw config.error(
                .badValue, "\(layers) layers of width \(widest) are larger than any model")
        }
        return DecoderDescription(
            architecture: try architectureName(config) ?? traits.architecture,
            vocabulary: try extent("vocab_size", config), layers: layers,
            shape: DecoderShape(
                hidden: hidden,
                intermediate: intermediate,
                heads: heads,
                kvHeads: kvHeads, headDim: headDim, normEpsilon: Float(epsilon),
                normsHeads: traits.normsHeads),
            rotary: try RotaryConfig.read(config, headDim: headDim, context: context),
            contextLength: context,
            tiedEmbeddings: try config.bool("tie_word_embeddings", default: false),
            queryKeyValueBias: traits.queryKeyValueBias, outputBias: traits.outputBias,
            mlpBias: traits.mlpBias, mlpNames: traits.mlpNames,
            initializerRange: try config.double("initializer_range", default: 0.02))
    }

    /// Reads the mixture of experts that takes the MLP's place in every layer.
    /// - Throws: `ConfigError` for numbers that no model has.
    static func readMixture(
        _ config: ConfigCursor, into description: inout DecoderDescription,
        expertsKey: String = "num_local_experts", chosenKey: String = "num_experts_per_tok"
    ) throws {
        let experts = try extent(expertsKey, config, most: mostExperts)
        let chosen = try extent(chosenKey, config, most: mostExperts)
        guard chosen <= experts else {
            throw config.error(
                .badValue, "\(chosenKey) (\(chosen)) exceeds \(expertsKey) (\(experts))")
        }
        let width = max(description.shape.hidden, description.shape.intermediate)
        guard description.layers * experts * width <= largestMixture else {
            throw config.error(
                .badValue,
                "\(description.layers) layers of \(experts) experts of width \(width) are larger than any model"
            )
        }
        description.shape.mixture = MixtureShape(experts: experts, expertsPerRow: chosen)
    }

    /// Refuses layers that attend to a window of the past only.
    /// - Parameter isUsed: whether the config switches windows on.
    /// - Throws: `ModelError` (`unsupported`).
    static func refuseSlidingWindows(_ config: ConfigCursor, isUsed: Bool) throws {
        let kinds = try config.optional("layer_types")?.elements().map { try $0.string() } ?? []
        guard !isUsed, kinds.allSatisfy({ $0 == "full_attention" }) else {
            throw ModelError(
                .unsupported,
                "layers of this model attend to a sliding window of the past, which is not supported yet: "
                    + "computing them with the whole past would give other answers. Take a model without "
                    + "windows (Mistral 7B from v0.2 on, Llama, Qwen)",
                path: config.file)
        }
    }

    private static func extent(
        _ key: String, _ config: ConfigCursor, most: Int = largestExtent
    ) throws -> Int {
        let cursor = try config.required(key)
        let value = try cursor.int()
        guard value > 0, value <= most else {
            throw cursor.error(
                .badValue, "\(key) (\(value)) must lie between 1 and \(most)")
        }
        return value
    }

    private static func architectureName(_ config: ConfigCursor) throws -> String? {
        try config.optional("architectures")?.elements().first?.string()
    }
}
