// SPDX-License-Identifier: Apache-2.0
// The keys of a configuration that say how preferences are learned.
import EftConfig

/// How a run learns from preferences, under the names of Axolotl's keys.
package struct PreferenceSettings: Sendable, Hashable {
    /// The method.
    package var method: Method
    /// The strength of the preference, or of what keeps the model near its reference.
    package var beta: Double
    /// The share of pairs that are taken to be labelled the wrong way round.
    package var labelSmoothing = 0.0
    /// The margin that SimPO asks for.
    package var simpoGamma = 0.5
    /// The weight of the chosen answers' own loss beside SimPO's and CPO's.
    package var cpoAlpha = 1.0
    /// Weights of desirable and of undesirable answers in KTO.
    package var desirableWeight = 1.0
    package var undesirableWeight = 1.0
    /// Whether log-probabilities count as means over an answer's tokens.
    package var averages = false
    /// Whether pairs count by how likely both answers are by the model itself (WPO).
    package var weighsPairs = false
    /// Whether the reference's log-probabilities are computed before the first step.
    package var precomputesReference = false

    /// How preferences are learned.
    package enum Method: Sendable, Hashable {
        /// Direct preference optimization, with the sum of some losses.
        case dpo([WeightedLoss])
        /// Odds ratio preference optimization.
        case orpo
        /// Simple preference optimization.
        case simpo
        /// Contrastive preference optimization.
        case cpo
        /// Kahneman-Tversky optimization: single answers, desirable or not.
        case kto
    }

    /// A loss of direct preference optimization.
    package enum Loss: String, Sendable, CaseIterable {
        case sigmoid, hinge, ipo, robust, sft, discopop
        case exoPair = "exo_pair"
        case ncaPair = "nca_pair"
        case bcoPair = "bco_pair"
        case sppoHard = "sppo_hard"
        case apoZero = "apo_zero"
        case apoDown = "apo_down"
        case sigmoidNorm = "sigmoid_norm"
    }

    /// A loss and its share of the sum.
    package struct WeightedLoss: Sendable, Hashable {
        package var loss: Loss
        package var weight: Double

        /// Gives a loss a weight.
        package init(_ loss: Loss, weight: Double = 1) {
            self.loss = loss
            self.weight = weight
        }
    }

    /// Makes settings with the defaults of the field's tools.
    package init(_ method: Method, beta: Double = 0.1) {
        self.method = method
        self.beta = beta
    }

    /// Whether answers come in pairs.
    package var takesPairs: Bool { method != .kto }

    /// Whether what is learned is compared with the model as it was.
    package var usesReference: Bool {
        switch method {
        case .dpo(let losses): losses.contains { $0.loss != .sft }
        case .kto: true
        case .orpo, .simpo, .cpo: false
        }
    }

    /// Whether prompts of chosen answers are learned too.
    package var learnsPrompts: Bool { method == .orpo }

    // MARK: Configuration

    private static let known = ["dpo", "ipo", "simpo", "cpo", "orpo", "kto", "grpo"]

    /// Reads `rl` and its keys; nil when there is no such key, or one of a run that learns from rewards.
    /// - Throws: `ConfigError` for methods that Eft does not have and values out of range.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> PreferenceSettings? {
        guard let cursor = try config.optional("rl"), cursor.asksForSomething else { return nil }
        let name = try cursor.string().lowercased()
        if name == "grpo" { return nil }
        var settings: PreferenceSettings
        switch name {
        case "dpo": settings = PreferenceSettings(.dpo(try losses(config)))
        case "ipo": settings = PreferenceSettings(.dpo([WeightedLoss(.ipo)]))
        case "orpo": settings = PreferenceSettings(.orpo)
        case "simpo": settings = PreferenceSettings(.simpo)
        case "cpo": settings = PreferenceSettings(.cpo)
        case "kto": settings = PreferenceSettings(.kto)
        default:
            let near = closestMatch(name, in: known).map { "; did you mean '\($0)'?" } ?? ""
            throw cursor.error(
                .badValue,
                "'\(excerpt(name))' is not supported yet\(near); there are "
                    + known.joined(separator: ", "))
        }
        try settings.readNumbers(config)
        return settings
    }

    private mutating func readNumbers(_ config: ConfigCursor) throws(ConfigError) {
        let positive = 1e-9...1e9
        let weights = 0...1e9
        // ORPO's weight is called alpha where it is used.
        let alpha = method == .orpo ? try config.lenientDouble("orpo_alpha", in: weights) : nil
        let given = try config.lenientDouble("rl_beta", in: positive)
        let older = try config.lenientDouble("dpo_beta", in: positive)
        beta = alpha ?? given ?? older ?? beta
        if let value = try config.lenientDouble("dpo_label_smoothing", in: 0...0.499) {
            labelSmoothing = value
        }
        if let value = try config.lenientDouble("simpo_gamma", in: weights) { simpoGamma = value }
        if let value = try config.lenientDouble("cpo_alpha", in: weights) { cpoAlpha = value }
        if let value = try config.lenientDouble("kto_desirable_weight", in: weights) {
            desirableWeight = value
        }
        if let value = try config.lenientDouble("kto_undesirable_weight", in: weights) {
            undesirableWeight = value
        }
        averages = try config.lenientBool("dpo_norm_loss") ?? false
        precomputesReference = try config.lenientBool("precompute_ref_log_probs") ?? false
        weighsPairs = try config.lenientBool("dpo_use_weighting") ?? false
        if weighsPairs, !takesPairs || !usesReference {
            throw try config.required("dpo_use_weighting").error(
                .badValue, "only pairs that are compared with a reference have weights: rl: dpo")
        }
    }

    private static func losses(_ config: ConfigCursor) throws(ConfigError) -> [WeightedLoss] {
        var losses: [WeightedLoss] = []
        if let list = try config.optional("dpo_loss_type") {
            let names: [ConfigCursor]
            if case .array = list.node.value { names = try list.elements() } else { names = [list] }
            for item in names {
                let name = try item.string()
                guard let loss = Loss(rawValue: name) else {
                    throw item.error(
                        .badValue,
                        "the loss '\(excerpt(name))' is not supported yet; there are "
                            + Loss.allCases.map(\.rawValue).joined(separator: ", "))
                }
                losses.append(WeightedLoss(loss))
            }
        }
        if losses.isEmpty { losses = [WeightedLoss(.sigmoid)] }
        if let list = try config.optional("dpo_loss_weights") {
            let weights = try list.elements()
            guard weights.count == losses.count else {
                throw list.error(
                    .badValue, "there are \(weights.count) weights for \(losses.count) losses")
            }
            for (index, weight) in weights.enumerated() {
                losses[index].weight = try weight.double()
            }
        }
        if let alpha = try config.lenientDouble("rpo_alpha", in: 0...1e9) {
            losses.append(WeightedLoss(.sft, weight: alpha))
        }
        return losses
    }
}
