// SPDX-License-Identifier: Apache-2.0
// What a configuration says of its optimizer.
import EftConfig
import EftModels
import EftNN
import EftTensor

/// An optimizer by its name, with what is said of it.
package struct OptimizerSettings: Sendable, Hashable {
    /// Axolotl's or transformers' name.
    package var name = "adamw_torch_fused"
    /// Decay of the first mean; the optimizer's own when nil, as in the other cases.
    package var beta1: Double?
    /// Decay of the second mean.
    package var beta2: Double?
    /// Decay of the third mean.
    package var beta3: Double?
    /// What is added to what is divided by, or to squares.
    package var epsilon: Double?
    /// A second one.
    package var epsilon2: Double?
    /// `optim_target_modules`.
    package var targets: OptimizerTargets?
    /// `optim_args`.
    package var arguments: [String: String] = [:]

    /// The default.
    package init() {}

    /// Names an optimizer.
    package init(_ name: String, arguments: [String: String] = [:]) {
        self.name = name
        self.arguments = arguments
    }

    /// Whether the name says that state may leave memory.
    package var isPaged: Bool { name.hasPrefix("paged_") }

    /// Whether Axolotl makes it itself, and not by way of transformers.
    var isAxolotls: Bool { OptimizerTable.find(name)?.isAxolotls ?? false }

    /// How parameters change.
    /// - Throws: `TrainingError` for an unknown name, and for arguments that are unknown or out of range.
    package func rule() throws(TrainingError) -> any UpdateRule {
        guard let choice = OptimizerTable.find(name) else {
            throw TrainingError(.configuration, OptimizerTable.refusal(of: name))
        }
        var options = OptimizerOptions(settings: self, choice: choice)
        let rule = try choice.make(&options)
        try options.finish()
        return rule
    }

    /// What the planner is told.
    package func need() throws(TrainingError) -> OptimizerNeed {
        var need = try rule().need(isPaged: isPaged)
        if let targets { need.isTarget = { targets.contains(parameter: $0) } }
        return need
    }

    /// The shape of a parameter as the rule is to see it.
    package func shape(of parameter: Parameter) -> ParameterShape {
        var shape = parameter.shape
        shape.isTarget =
            shape.isMatrix && targets?.contains(parameter: parameter.name) ?? false
        return shape
    }

    /// Bytes of the state of a whole run, wherever it stands.
    func stateBytes(_ shapes: TrainedShapes) throws(TrainingError) -> Int {
        try need().totalStateBytes(shapes)
    }
}

/// What a rule is made from; it takes the arguments that it knows.
package struct OptimizerOptions {
    /// What the configuration says.
    let settings: OptimizerSettings
    /// The line of the table.
    let choice: OptimizerChoice
    private var known: [String] = []

    init(settings: OptimizerSettings, choice: OptimizerChoice) {
        self.settings = settings
        self.choice = choice
    }

    private mutating func take(_ name: String) -> String? {
        known.append(name)
        return settings.arguments[name]
    }

    /// A number of `optim_args`; nil when it is not there.
    mutating func number(
        _ name: String, in range: ClosedRange<Double>
    ) throws(TrainingError) -> Double? {
        guard let text = take(name) else { return nil }
        guard let value = Double(text), range.contains(value) else {
            throw error(
                name, "must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A whole number above 0 of `optim_args`; nil when it is not there.
    mutating func count(_ name: String) throws(TrainingError) -> Int? {
        guard let text = take(name) else { return nil }
        guard let value = Int(text), (1...BatchPlan.mostSteps).contains(value) else {
            throw error(name, "must be a whole number above 0")
        }
        return value
    }

    /// A truth value of `optim_args`; nil when it is not there.
    mutating func flag(_ name: String) throws(TrainingError) -> Bool? {
        guard let text = take(name) else { return nil }
        switch text.lowercased() {
        case "true", "1", "yes": return true
        case "false", "0", "no": return false
        default: throw error(name, "must be true or false")
        }
    }

    /// One of some words of `optim_args`; nil when it is not there.
    mutating func word(_ name: String, of words: [String]) throws(TrainingError) -> String? {
        guard let text = take(name) else { return nil }
        guard words.contains(text) else {
            throw error(name, "must be one of " + words.joined(separator: ", "))
        }
        return text
    }

    /// An error about an argument.
    func error(_ name: String, _ what: String) -> TrainingError {
        TrainingError(.configuration, "the argument '\(name)' of \(settings.name) \(what)")
    }

    /// Refuses what no one took: it would have changed something elsewhere.
    func finish() throws(TrainingError) {
        guard let unknown = settings.arguments.keys.sorted().first(where: { !known.contains($0) })
        else { return }
        let others =
            known.isEmpty
            ? "it has none; rates, decays and epsilons are keys of their own"
            : "there are " + known.joined(separator: ", ")
        throw error(excerpt(unknown), "is unknown; \(others)")
    }
}
