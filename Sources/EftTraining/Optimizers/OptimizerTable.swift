// SPDX-License-Identifier: Apache-2.0
// The optimizers by the names that Axolotl and transformers have for them.
import EftConfig

/// An optimizer under its names.
package struct OptimizerChoice: Sendable {
    /// Its names.
    let names: [String]
    /// Bits of each number of state.
    var bits = 32
    /// Bits that the names promise, where they are others.
    var promisedBits: Int?
    /// Decays when the configuration has none.
    var betas = (first: 0.9, second: 0.999)
    /// Epsilon when the configuration has none.
    var epsilon = 1e-8
    /// Whether Axolotl makes it itself, and not by way of transformers.
    var isAxolotls = false
    /// Makes the rule.
    let make: @Sendable (inout OptimizerOptions) throws(TrainingError) -> any UpdateRule

    init(
        _ names: String, bits: Int = 32, promisedBits: Int? = nil,
        betas: (first: Double, second: Double) = (0.9, 0.999), epsilon: Double = 1e-8,
        isAxolotls: Bool = false,
        _ make: @escaping @Sendable (inout OptimizerOptions) throws(TrainingError) -> any UpdateRule
    ) {
        self.names = names.split(separator: " ").map(String.init)
        self.bits = bits
        self.promisedBits = promisedBits
        self.betas = betas
        self.epsilon = epsilon
        self.isAxolotls = isAxolotls
        self.make = make
    }
}

/// All optimizers.
enum OptimizerTable {
    static let choices = [
        OptimizerChoice(
            "adamw_torch_fused adamw_torch adamw_torch_xla adamw_torch_npu_fused adamw_hf "
                + "adamw_apex_fused adamw_anyprecision paged_adamw_32bit flash_adamw",
            AdamW.init),
        OptimizerChoice(
            "adamw_bnb_8bit adamw_8bit paged_adamw_8bit adamw_torch_8bit ao_adamw_8bit", bits: 8,
            AdamW.init),
        OptimizerChoice("ao_adamw_fp8", promisedBits: 8, AdamW.init),
        OptimizerChoice("adamw_torch_4bit ao_adamw_4bit", promisedBits: 4, AdamW.init),
        OptimizerChoice(
            "optimi_adamw", betas: (0.9, 0.99), epsilon: 1e-6, isAxolotls: true, AdamW.init),
        OptimizerChoice("lion_32bit paged_lion_32bit", Lion.init),
        OptimizerChoice("lion_8bit paged_lion_8bit", bits: 8, Lion.init),
        OptimizerChoice("lion_pytorch", betas: (0.9, 0.99), isAxolotls: true, Lion.init),
        OptimizerChoice("sgd", SGD.init),
        OptimizerChoice("rmsprop rmsprop_bnb rmsprop_bnb_32bit", RMSprop.init),
        OptimizerChoice("rmsprop_bnb_8bit", bits: 8, RMSprop.init),
        OptimizerChoice("adagrad", Adagrad.init),
        OptimizerChoice("adafactor", Adafactor.init),
        OptimizerChoice("ademamix paged_ademamix_32bit", AdEMAMix.init),
        OptimizerChoice("ademamix_8bit paged_ademamix_8bit", bits: 8, AdEMAMix.init),
        OptimizerChoice("schedule_free_adamw", ScheduleFreeAdamW.init),
        OptimizerChoice("came_pytorch", isAxolotls: true, CAME.init),
        OptimizerChoice("muon", betas: (0.95, 0.95), Muon.init),
        OptimizerChoice("galore_adamw galore_adamw_layerwise", epsilon: 1e-6) {
            (options) throws(TrainingError) in
            var adamW = AdamW(&options)
            adamW.correctsEpsilon = false
            return try GaLore(adamW, decaysLast: true, &options)
        },
        OptimizerChoice("galore_adamw_8bit galore_adamw_8bit_layerwise", bits: 8) {
            (options) throws(TrainingError) in
            try GaLore(AdamW(&options), decaysLast: true, &options)
        },
        OptimizerChoice("galore_adafactor galore_adafactor_layerwise") {
            (options) throws(TrainingError) in
            try GaLore(Adafactor(&options), decaysLast: false, &options)
        },
    ]

    /// The optimizer of a name.
    static func find(_ name: String) -> OptimizerChoice? {
        choices.first { $0.names.contains(name) }
    }

    /// What is said of a name that is none of these.
    static func refusal(of name: String) -> String {
        let names = choices.flatMap(\.names)
        let near = closestMatch(name, in: names).map { "; did you mean '\($0)'?" } ?? ""
        let isLowRank = ["galore", "apollo"].contains { name.contains($0) }
        let instead =
            isLowRank
            ? "; for little memory there are galore_adamw, adamw_bnb_8bit, adafactor and adapter: qlora"
            : near
        return "the optimizer '\(excerpt(name))' is not supported\(instead); there are "
            + names.joined(separator: ", ")
    }
}
