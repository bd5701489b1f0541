// SPDX-License-Identifier: Apache-2.0
// The optimizer's keys of an Axolotl configuration.
import EftConfig

extension OptimizerSettings {
    /// Reads the optimizer and what is said of it.
    /// - Throws: `ConfigError` for an optimizer that Eft does not have, and for values out of range.
    init(_ config: ConfigCursor) throws(ConfigError) {
        self.init()
        name = try config.text("optimizer") ?? name
        beta1 = try config.lenientDouble("adam_beta1", in: 0...0.999999)
        beta2 = try config.lenientDouble("adam_beta2", in: 0...0.9999999)
        beta3 = try config.lenientDouble("adam_beta3", in: 0...0.9999999)
        epsilon = try config.lenientDouble("adam_epsilon", in: 0...1)
        epsilon2 = try config.lenientDouble("adam_epsilon2", in: 0...1)
        guard OptimizerTable.find(name) != nil else {
            throw try config.required("optimizer").error(
                .badValue, OptimizerTable.refusal(of: name))
        }
        targets = try OptimizerTargets(config)
        let given = try config.optional("optim_args")
        if let given, given.asksForSomething { arguments = try Self.arguments(given) }
        do { _ = try rule() } catch {
            throw (given ?? config).error(.badValue, error.message)
        }
    }

    /// Arguments as a mapping, or in one line: `a=1, b=2`.
    private static func arguments(_ cursor: ConfigCursor) throws(ConfigError) -> [String: String] {
        var arguments: [String: String] = [:]
        guard case .string(let line) = cursor.node.value else {
            for (name, value) in try cursor.entries() {
                arguments[name] = try text(value)
            }
            return arguments
        }
        for part in line.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map {
                $0.filter { !$0.isWhitespace }
            }
            guard pair.count == 2, !pair[0].isEmpty else {
                throw cursor.error(.badValue, "expected name=value, name=value, or a mapping")
            }
            arguments[pair[0]] = pair[1]
        }
        return arguments
    }

    private static func text(_ value: ConfigCursor) throws(ConfigError) -> String {
        switch value.node.value {
        case .string(let text): text
        case .bool(let flag): flag ? "true" : "false"
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        default: throw value.error(.badValue, "expected a number, a word, true or false")
        }
    }
}

extension RateGroups {
    /// Reads the learning rates of parts of the model.
    /// - Throws: `ConfigError` for values out of range.
    init(_ config: ConfigCursor) throws(ConfigError) {
        self.init()
        let rates = 0...1e6
        embedding = try config.lenientDouble("embedding_lr", in: rates)
        let scale = try config.lenientDouble("embedding_lr_scale", in: rates)
        embeddingScale = scale == 0 ? nil : scale
        loraPlusEmbedding =
            try config.lenientDouble("loraplus_lr_embedding", in: rates) ?? loraPlusEmbedding
        guard let groups = try config.optional("lr_groups"), groups.asksForSomething else {
            return
        }
        for group in try groups.elements() {
            guard let modules = try group.texts("modules"),
                let rate = try group.lenientDouble("lr", in: rates)
            else {
                throw group.error(
                    .badValue, "a group needs a name, a list of modules, and lr")
            }
            named.append(Named(modules: modules, rate: rate))
        }
    }
}
