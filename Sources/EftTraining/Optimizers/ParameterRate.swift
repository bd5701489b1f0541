// SPDX-License-Identifier: Apache-2.0
// Learning rates and weight decay of single parameters.
import EftNN

/// What the learning rate and weight decay of a run come to for one parameter, as Axolotl groups them.
struct ParameterRate: Sendable, Hashable {
    /// What the learning rate counts times.
    var factor = 1.0
    /// Weight decay.
    var weightDecay: Double

    /// Settles a parameter.
    init(_ parameter: Parameter, _ settings: TrainingSettings) {
        self.init(name: parameter.name, decays: parameter.decays, settings)
    }

    /// Settles a parameter by its name.
    /// - Parameter decays: whether weight decay applies as a rule.
    init(name: String, decays: Bool, _ settings: TrainingSettings) {
        weightDecay = decays ? settings.weightDecay : 0
        let groups = settings.rateGroups
        if settings.loraPlusRatio != 1 {
            // LoRA+ (Hayou et al. 2024) has a higher rate for the second matrices, and in PEFT no weight decay.
            weightDecay = 0
            if name.contains(".lora_embedding_") {
                factor = settings.share(groups.loraPlusEmbedding)
            } else if name.contains(".lora_B.") {
                factor = settings.loraPlusRatio
            }
        } else if Parameter.isOfVocabulary(name) {
            if groups.areAsked || settings.optimizer.isAxolotls { weightDecay = 0 }
            if let scale = groups.embeddingScale {
                factor = scale
            } else if let rate = groups.embedding {
                factor = settings.share(rate)
            }
        } else if decays {
            let group = groups.named.first { $0.modules.contains(where: name.contains) }
            if let group { factor = settings.share(group.rate) }
        }
    }
}

/// Learning rates of parts of a model.
package struct RateGroups: Sendable, Hashable {
    /// Parameters whose names contain one of several words.
    package struct Named: Sendable, Hashable {
        /// The words.
        package var modules: [String]
        /// Their highest learning rate.
        package var rate: Double

        /// Makes a group.
        package init(modules: [String], rate: Double) {
            self.modules = modules
            self.rate = rate
        }
    }

    /// `lr_groups`.
    package var named: [Named] = []
    /// The highest rate of embedding and head.
    package var embedding: Double?
    /// What the learning rate counts times for embedding and head; wins over the rate.
    package var embeddingScale: Double?
    /// The highest rate of adapters of an embedding under LoRA+.
    package var loraPlusEmbedding = 1e-6

    /// No groups.
    package init() {}

    /// Whether any are asked for, in which case Axolotl makes the groups itself.
    var areAsked: Bool { !named.isEmpty || embedding != nil || embeddingScale != nil }
}

extension TrainingSettings {
    /// A rate as a share of the highest one of the run, whose curve all rates follow.
    fileprivate func share(_ rate: Double) -> Double {
        learningRate > 0 ? rate / learningRate : 1
    }
}
