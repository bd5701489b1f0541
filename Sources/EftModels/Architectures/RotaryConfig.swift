// SPDX-License-Identifier: Apache-2.0
// Rotary settings of config.json, in both forms that are in use.
import EftConfig
import EftNN

#if canImport(Glibc)
    import Glibc
#endif

/// Reads `rope_theta` with `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
enum RotaryConfig {
    /// Reads a rotary embedding.
    /// - Parameters:
    ///   - headDim: numbers of a head.
    ///   - layers: the layers whose embedding it is, as `layer_types` calls them, in families where they have several.
    ///   - theta: the base where the config has none of those layers.
    /// - Throws: `ConfigError` for senseless numbers, `ModelError` (`unsupported`) for scalings that Eft does not have.
    static func read(
        _ config: ConfigCursor, headDim: Int, context: Int, _ traits: FamilyTraits,
        layers: String? = nil, theta: Double? = nil
    ) throws -> RotaryEmbedding {
        var parameters = try config.optional("rope_parameters")
        if let layers, let own = try parameters?.optional(layers) {
            parameters = own
        } else if theta == nil {
            // What stands beside is of layers that see everything.
            parameters = try parameters ?? config.optional("rope_scaling")
        }
        let base = try theta ?? config.double("rope_theta", default: traits.theta)
        let theta = try parameters?.optional("rope_theta")?.double() ?? base
        guard theta > 1, theta.isFinite else {
            throw config.error(.badValue, "rope_theta (\(theta)) must exceed 1")
        }
        let share =
            try parameters?.optional("partial_rotary_factor")?.double()
            ?? config.double("partial_rotary_factor", default: traits.rotaryShare)
        let rotated = share > 0 && share <= 1 ? Int(Double(headDim) * share) : 0
        guard rotated > 0, rotated % 2 == 0 else {
            throw config.error(
                .badValue,
                "partial_rotary_factor (\(share)) leaves no even number of the \(headDim) of a head"
            )
        }
        let scaling = try parameters.map {
            try self.scaling($0, config, context: context, rotated: rotated)
        }
        return RotaryEmbedding(
            headDim: rotated, theta: theta, scaling: scaling ?? RotaryScaling.none,
            interleaved: traits.isInterleaved)
    }

    private static func scaling(
        _ rope: ConfigCursor, _ config: ConfigCursor, context: Int, rotated: Int
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
        // "su" is the name that the first Phi 3 had for it.
        case "longrope", "su": return .long(try long(rope, config, context, rotated: rotated))
        default:
            throw ModelError(
                .unsupported,
                "rope type '\(type)' is not supported; supported are default, linear, dynamic, "
                    + "llama3, yarn, longrope",
                path: config.file)
        }
    }

    private static func long(
        _ rope: ConfigCursor, _ config: ConfigCursor, _ context: Int, rotated: Int
    ) throws -> RotaryScaling.Long {
        func factors(_ key: String) throws -> [Double] {
            let cursor = try rope.required(key)
            let factors = try cursor.elements().map { try $0.double() }
            guard factors.count == rotated / 2, factors.allSatisfy({ $0 > 0 && $0.isFinite }) else {
                throw cursor.error(
                    .badValue, "\(key) must be \(rotated / 2) positive numbers, one a frequency")
            }
            return factors
        }
        let original = try original(rope, config, context)
        let factor =
            try rope.optional("factor") == nil
            ? Double(context) / Double(original) : factor(rope)
        var attention = try rope.optional("attention_factor")?.double()
        if let short = try rope.optional("short_mscale")?.double() {
            attention = short
            guard try rope.optional("long_mscale")?.double() == short else {
                throw rope.error(
                    .badValue, "a short_mscale that is not the long_mscale is not supported")
            }
        }
        let stretched = factor > 1 && original > 1
        return RotaryScaling.Long(
            shortFactors: try factors("short_factor"), longFactors: try factors("long_factor"),
            originalContext: original,
            attentionFactor: attention
                ?? (stretched ? (1 + log(factor) / log(Double(original))).squareRoot() : 1))
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
