// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that decoders have in common.
import EftConfig
import EftNN
import EftTensor

/// What is not in `config.json` but follows from the family, and where the family keeps what it says.
struct FamilyTraits {
    /// The architecture's name where the config does not give it.
    var architecture = "LlamaForCausalLM"
    /// The keys of C, H, the number of layers and the context.
    var hiddenKey = "hidden_size"
    var headsKey = "num_attention_heads"
    var layersKey = "num_hidden_layers"
    var contextKey = "max_position_embeddings"
    /// Heads of keys, where the family does not say it by `num_key_value_heads`.
    var kvHeads: Int?
    var queryKeyValueBias = false
    var outputBias = false
    var mlpBias = false
    /// Whether queries and keys are normed.
    var normsHeads = false
    /// Whether the MLP multiplies two products.
    var isGated = true
    /// What the checkpoint calls the parts of the MLP.
    var mlpNames = DecoderDescription.MLPNames()
    /// D where the config does not give it; the hidden size over the number of heads when nil.
    var headDim: Int?
    /// D whatever the config says.
    var fixedHeadDim: Int?
    /// The key of the numbers inside an MLP, or inside an expert.
    var intermediateKey = "intermediate_size"
    /// How many times the hidden size they are where the config does not give them.
    var intermediateFactor: Int?
    /// The key of the number that is added in norms, and the number where the config does not give it.
    var epsilonKey = "rms_norm_eps"
    var epsilon = 1e-6
    /// The key of the MLP's activation, and its name where the config does not give it.
    var activationKey = "hidden_act"
    var activation = "silu"
    /// Whether the head is the embedding where the config does not say.
    var tied = false
    /// The base of rotary frequencies where the config does not give it.
    var theta = 10000.0
    /// The share of a head that rotates where the config does not give it.
    var rotaryShare = 1.0
    /// Whether neighbours rotate together.
    var isInterleaved = false
    /// The context where the config does not give it.
    var context = 2048
    /// Which layers' rotary embedding is the first one, in families whose layers have several.
    var rotaryLayers: String?
}

/// Reads what decoders have in common; the architectures add their differences.
enum FamilyConfig {
    /// Largest extents that are believed: beyond, a config is damaged, and products of extents might overflow.
    private static let largestExtent = 1 << 24
    static let largestWidth = 1 << 20
    private static let mostLayers = 1 << 12
    /// The largest product of layers and width; the largest model of today has a tenth of it.
    private static let largestVolume = 1 << 26

    /// Reads a description; norms, kinds of layers and factors are those of Llama's form.
    /// - Throws: `ConfigError` for missing or senseless keys, `ModelError` (`unsupported`) for what Eft does not compute.
    static func describe(
        _ config: ConfigCursor, _ traits: FamilyTraits
    ) throws -> DecoderDescription {
        let heads = try heads(config, traits)
        let context =
            try config.optional(traits.contextKey) == nil
            ? traits.context : extent(traits.contextKey, config)
        let layers = try extent(traits.layersKey, config, most: mostLayers)
        var intermediate = traits.intermediateFactor.map { $0 * heads.hidden } ?? 0
        if try intermediate == 0 || config.optional(traits.intermediateKey) != nil {
            intermediate = try extent(traits.intermediateKey, config, most: largestWidth)
        }
        let widest = max(heads.hidden, intermediate, heads.count * heads.width)
        guard layers * widest <= largestVolume else {
            throw config.error(
                .badValue, "\(layers) layers of width \(widest) are larger than any model")
        }
        var shape = DecoderShape(
            hidden: heads.hidden, intermediate: intermediate, heads: heads.count,
            kvHeads: heads.kvCount, headDim: heads.width,
            normEpsilon: try epsilon(config, traits), normsHeads: traits.normsHeads)
        shape.activation = try activation(config, traits)
        shape.isGated = traits.isGated
        return DecoderDescription(
            architecture: try architectureName(config) ?? traits.architecture,
            vocabulary: try extent("vocab_size", config), layers: layers, shape: shape,
            rotary: try RotaryConfig.read(
                config, headDim: heads.width, context: context, traits,
                layers: traits.rotaryLayers),
            contextLength: context,
            tiedEmbeddings: try config.bool("tie_word_embeddings", default: traits.tied),
            queryKeyValueBias: traits.queryKeyValueBias, outputBias: traits.outputBias,
            mlpBias: traits.mlpBias, mlpNames: traits.mlpNames,
            initializerRange: try config.double("initializer_range", default: 0.02))
    }

    private static func heads(
        _ config: ConfigCursor, _ traits: FamilyTraits
    ) throws -> (hidden: Int, count: Int, kvCount: Int, width: Int) {
        let hidden = try extent(traits.hiddenKey, config, most: largestWidth)
        let heads = try extent(traits.headsKey, config, most: largestWidth)
        let kvHeads =
            try traits.kvHeads
            ?? (config.optional("num_key_value_heads") == nil
                ? heads : extent("num_key_value_heads", config))
        let headDim =
            try traits.fixedHeadDim != nil || config.optional("head_dim") == nil
            ? traits.fixedHeadDim ?? traits.headDim ?? hidden / heads
            : extent("head_dim", config, most: largestWidth)
        guard heads % kvHeads == 0 else {
            throw config.error(
                .badValue,
                "\(traits.headsKey) (\(heads)) is no multiple of the heads of keys (\(kvHeads), num_key_value_heads)"
            )
        }
        guard headDim > 0, headDim % 2 == 0 else {
            throw config.error(.badValue, "head_dim (\(headDim)) must be even and positive")
        }
        guard heads * headDim <= largestWidth else {
            throw config.error(
                .badValue,
                "\(heads) heads of head_dim \(headDim) are wider than any model (\(largestWidth))")
        }
        return (hidden, heads, kvHeads, headDim)
    }

    private static func epsilon(_ config: ConfigCursor, _ traits: FamilyTraits) throws -> Float {
        let epsilon = try config.double(traits.epsilonKey, default: traits.epsilon)
        guard epsilon > 0, epsilon < 1 else {
            throw config.error(
                .badValue, "\(traits.epsilonKey) (\(epsilon)) must lie between 0 and 1")
        }
        return Float(epsilon)
    }

    /// The activations by the names that transformers has for them.
    private static let activations: [String: Activation] = [
        "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_python": .gelu, "gelu_new": .geluTanh,
        "gelu_pytorch_tanh": .geluTanh, "gelu_fast": .geluTanh, "relu": .relu,
        "relu2": .reluSquared,
    ]

    private static func activation(
        _ config: ConfigCursor, _ traits: FamilyTraits
    ) throws -> Activation {
        let name = try config.string(traits.activationKey, default: traits.activation)
        guard let activation = activations[name] else {
            throw ModelError(
                .unsupported,
                "\(traits.activationKey) '\(excerpt(name))' is not supported; supported are "
                    + activations.keys.sorted().joined(separator: ", "), path: config.file)
        }
        return activation
    }

    /// Refuses a model whose config switches something on.
    /// - Throws: `ModelError` (`unsupported`) that says what.
    static func refuse(_ key: String, _ config: ConfigCursor, _ what: String) throws {
        guard try config.bool(key, default: false) else { return }
        throw ModelError(.unsupported, what, path: config.file)
    }

    /// A number that scales something.
    /// - Throws: `ConfigError` where it is not positive and finite in f32.
    static func factor(
        _ key: String, _ config: ConfigCursor, default value: Double
    ) throws -> Double {
        guard let cursor = try config.optional(key) else { return value }
        let factor = try cursor.double()
        guard factor > 0, Float(factor).isFinite, Float(factor) > 0 else {
            throw cursor.error(.badValue, "\(key) (\(factor)) must be positive")
        }
        return factor
    }

    /// A number beyond which scores or logits do not come; nil where the config has none.
    /// - Throws: `ConfigError` where it is not positive.
    static func cap(_ key: String, _ config: ConfigCursor, default value: Float?) throws -> Float? {
        guard try config.hasKey(key) else { return value }
        guard try config.optional(key) != nil else { return nil }
        return Float(try factor(key, config, default: 1))
    }

    /// A whole number between 1 and the most that is believed.
    /// - Throws: `ConfigError` where it is another one.
    static func extent(
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
