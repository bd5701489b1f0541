// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that mixtures of experts have in common.
import EftConfig
import EftNN

/// Reads mixtures of experts.
enum MixtureConfig {
    private static let mostExperts = 1 << 12
    /// The largest product of layers, experts and width; the largest model of today has two thirds of it.
    private static let largestMixture = 1 << 28

    /// Reads the mixture of experts that takes the MLP's place in every layer.
    /// - Throws: `ConfigError` for numbers that no model has.
    static func read(
        _ config: ConfigCursor, into description: inout DecoderDescription,
        expertsKey: String = "num_local_experts", chosenKey: String = "num_experts_per_tok",
        scoring: MixtureShape.Scoring = .softmaxOfChosen
    ) throws {
        let experts = try FamilyConfig.extent(expertsKey, config, most: mostExperts)
        let chosen = try FamilyConfig.extent(chosenKey, config, most: mostExperts)
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
        description.shape.mixture = MixtureShape(
            experts: experts, expertsPerRow: chosen, scoring: scoring)
    }

    /// Reads a mixture of DeepSeek 3's form: sigmoids with a correction, groups, a factor, MLPs beside the experts, and first
    /// layers without experts.
    /// - Parameter addsUp: whether weights add up to 1 where the config does not say.
    /// - Throws: as `read`.
    static func readGrouped(
        _ config: ConfigCursor, into description: inout DecoderDescription, addsUp: Bool,
        firstDense: Int
    ) throws {
        let addsUp = try config.bool("norm_topk_prob", default: addsUp)
        try readGrouped(
            config, into: &description, scoring: .sigmoid(addsUp: addsUp), isCorrected: true,
            firstDense: firstDense)
    }

    /// Reads such a mixture with a scoring; without correction a group counts by its highest score.
    /// - Throws: as `read`.
    static func readGrouped(
        _ config: ConfigCursor, into description: inout DecoderDescription,
        scoring: MixtureShape.Scoring, isCorrected: Bool, usesGroups: Bool = true, firstDense: Int
    ) throws {
        let key =
            try config.optional("n_routed_experts") == nil
            ? "num_local_experts" : "n_routed_experts"
        try read(config, into: &description, expertsKey: key, scoring: scoring)
        guard var mixture = description.shape.mixture else { return }
        mixture.hasCorrection = isCorrected
        mixture.scale = Float(
            try FamilyConfig.factor("routed_scaling_factor", config, default: 1))
        mixture.groups = usesGroups ? try groups(config, mixture) : nil
        mixture.groups?.sumsTwo = isCorrected
        mixture.shared = try shared(
            try config.optional("n_shared_experts")?.int() ?? 0, description.shape.intermediate,
            config)
        description.shape.mixture = mixture
        description.mlpNames.shared = "mlp.shared_experts"
        let dense = try config.optional("first_k_dense_replace")?.int() ?? firstDense
        try keepExperts(config, in: &description) { $0 >= dense }
    }

    private static func groups(
        _ config: ConfigCursor, _ mixture: MixtureShape
    ) throws -> MixtureShape.Groups? {
        let count = try config.optional("n_group")?.int() ?? 1
        let chosen = try config.optional("topk_group")?.int() ?? 1
        guard count > 0, mixture.experts % count == 0, chosen > 0, chosen <= count,
            chosen * (mixture.experts / count) >= mixture.expertsPerRow
        else {
            throw config.error(
                .badValue,
                "\(mixture.experts) experts in n_group (\(count)) groups, of which topk_group (\(chosen)) are looked at, "
                    + "do not give \(mixture.expertsPerRow) to choose")
        }
        return count == 1 ? nil : MixtureShape.Groups(count: count, chosen: chosen, sumsTwo: true)
    }

    /// As many MLPs beside the experts, which are as wide as these: together they are one that is wider.
    /// - Throws: `ConfigError` for numbers that no model has.
    static func shared(
        _ count: Int, _ width: Int, _ config: ConfigCursor
    ) throws -> MixtureShape.SharedExpert? {
        guard count != 0 else { return nil }
        guard count > 0, count <= mostExperts, count * width <= FamilyConfig.largestWidth else {
            throw config.error(
                .badValue,
                "\(count) MLPs of width \(width) beside the experts are more than any model has")
        }
        return MixtureShape.SharedExpert(intermediate: count * width, isWeighed: false)
    }

    /// Leaves experts to some layers; the others have one MLP of the width under `denseKey`.
    /// - Throws: `ConfigError` for a size that no model has.
    static func keepExperts(
        _ config: ConfigCursor, in description: inout DecoderDescription,
        denseKey: String = "intermediate_size", _ hasExperts: (_ layer: Int) -> Bool
    ) throws {
        let kept = (0..<description.layers).map(hasExperts)
        guard kept.contains(false) else { return }
        let width = try FamilyConfig.extent(
            denseKey, config, most: FamilyConfig.largestWidth)
        guard kept.contains(true) else {
            description.shape.mixture = nil
            description.shape.intermediate = width
            description.mlpNames.path = description.mlpNames.dense
            return
        }
        description.shape.denseIntermediate = width
        description.kinds = kept.enumerated().map { layer, hasExperts in
            var kind = description.kind(layer: layer)
            kind.hasExperts = hasExperts
            return kind
        }
    }
}
