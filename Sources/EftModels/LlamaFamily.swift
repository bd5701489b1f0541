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

    static func describe(
        _ config: ConfigCursor, queryKeyValueBias: Bool, outputBias: Bool, mlpBias: Bool
    ) throws -> DecoderDescription {
        let hidden = try extent("hidden_size", config, most: largestWidth)
        let heads = try extent("num_attention_heads", config, most: largestWidth)
        let kvHeads =
            try config.optional("num_key_value_heads") == nil
            ? heads : extent("num_key_value_heads", config)
        let headDim =
            try config.optional("head_dim") == nil
            ? hidden / heads : extent("head_dim", config, most: largestWidth)
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
        return DecoderDescription(
            architecture: try architectureName(config),
            vocabulary: try extent("vocab_size", config),
            layers: try extent("num_hidden_layers", config, most: mostLayers),
            shape: DecoderShape(
                hidden: hidden,
                intermediate: try extent("intermediate_size", config, most: largestWidth),
                heads: heads,
                kvHeads: kvHeads, headDim: headDim, normEpsilon: Float(epsilon)),
            rotary: try RotaryConfig.read(config, headDim: headDim, context: context),
            contextLength: context,
            tiedEmbeddings: try config.bool("tie_word_embeddings", default: false),
            queryKeyValueBias: queryKeyValueBias, outputBias: outputBias, mlpBias: mlpBias,
            initializerRange: try config.double("initializer_range", default: 0.02))
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

    private static func architectureName(_ config: ConfigCursor) throws -> String {
        if let first = try config.optional("architectures")?.elements().first {
            return try first.string()
        }
        return "LlamaForCausalLM"
    }
}
