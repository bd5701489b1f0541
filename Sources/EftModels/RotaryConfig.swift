// SPDX-License-Identifier: Apache-2.0
// Rotary settings of config.json, in both forms that are in use.
import EftConfig
import EftNN

/// Reads `rope_theta` with `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
enum RotaryConfig {
    static func read(
        _ config: ConfigCursor, headDim: Int, context: Int
    ) throws -> RotaryEmbedding {
        let parameters = try config.optional("rope_parameters") ?? config.optional("rope_scaling")
        let theta =
            try parameters?.optional("rope_theta")?.double()
            ?? config.double("rope_theta", default: 10000)
        guard theta > 1 else {
            throw config.error(.badValue, "rope_theta (\(theta)) must exceed 1")
        }
        if let partial = try parameters?.optional("partial_rotary_factor")?.double(), partial != 1 {
            throw ModelError(
                .unsupported, "partial rotary embedding is not supported", path: config.file)
        }
        let scaling = try parameters.map { try self.scaling($0, config, context: context) }
        return RotaryEmbedding(
            headDim: headDim, theta: theta, scaling: scaling ?? RotaryScaling.none)
    }

    private static func scaling(
        _ rope: ConfigCursor, _ config: ConfigCursor, context: Int
    ) throws -> RotaryScaling {
        let type =
            try rope.optional("rope_type")?.string() ?? rope.optional("type")?.string() ?? "default"
        switch type {
        case "default": return .none
        case "linear": return .linear(factor: try factor(rope))
        case "dynamic":
            return .dynamic(
                factor: try factor(rope), originalContext: try original(rope, config, context))
        case "llama3":
            return .llama3(
                factor: try factor(rope),
                lowFrequencyFactor: try positive(rope, "low_freq_factor"),
                highFrequencyFactor: try positive(rope, "high_freq_factor"),
                originalContext: try original(rope, config, context))
        case "yarn": return .yarn(try yarn(rope, config, context))
        default:
            throw ModelError(
                .unsupported,
                "rope type '\(type)' is not supported; supported are default, linear, dynamic, llama3, yarn",
                path: config.file)
        }
    }

    private static func yarn(
        _ rope: ConfigCursor, _ config: ConfigCursor, _ context: Int
    ) throws -> RotaryScaling.YaRN {
        let factor = try factor(rope)
        var attention = try rope.optional("attention_factor")?.double()
        // DeepSeek's variant states the temperature by two scales instead.
        if attention == nil, let mscale = try rope.optional("mscale")?.double(),
            let all = try rope.optional("mscale_all_dim")?.double(), mscale != 0, all != 0
        {
            attention =
                RotaryScaling.yarnScale(factor, mscale) / RotaryScaling.yarnScale(factor, all)
        }
        return RotaryScaling.YaRN(
            factor: factor, originalContext: try original(rope, config, context),
            betaFast: try rope.double("beta_fast", default: 32),
            betaSlow: try rope.double("beta_slow", default: 1), attentionFactor: attention,
            truncates: try rope.bool("truncate", default: true))
    }

    private static func factor(_ rope: ConfigCursor) throws -> Double {
        try positive(rope, "factor")
    }

    private static func positive(_ rope: ConfigCursor, _ key: String) throws -> Double {
        let cursor = try rope.required(key)
        let value = try cursor.double()
        guard value > 0 else { throw cursor.error(.badValue, "\(key) (\(value)) must be positive") }
        return value
    }

    /// The context that the frequencies were trained for.
    private static func original(
        _ rope: ConfigCursor, _ config: ConfigCursor, _ context: Int
    ) throws -> Int {
        let cursor =
            try rope.optional("original_max_position_embeddings")
            ?? config.optional("original_max_position_embeddings")
        guard let cursor else { return context }
        let value = try cursor.int()
        guard value > 0 else {
            throw cursor.error(.badValue, "original_max_position_embeddings must be positive")
        }
        return value
    }
}
