// SPDX-License-Identifier: Apache-2.0
// The key `optim_target_modules`: the linear layers whose gradients an optimizer projects.
import EftConfig
import EftNN

/// Names of modules, as transformers reads them.
package struct OptimizerTargets: Sendable, Hashable {
    private enum Choice: Sendable, Hashable {
        /// `all-linear`.
        case allLinear
        /// One expression that matches a whole name.
        case expression(String)
        /// Words of which a name contains one, or expressions of which one matches it as a whole.
        case anyOf([String])
    }

    private let choice: Choice

    /// Reads the key; nil when it is absent or empty.
    /// - Throws: `ConfigError` for what is no text or list of texts, and for what is no regular expression.
    init?(_ config: ConfigCursor) throws(ConfigError) {
        let key = "optim_target_modules"
        guard let texts = try config.texts(key) else { return nil }
        let place = try config.required(key)
        for text in texts {
            guard text.utf8.count <= 4096, (try? Regex(text)) != nil else {
                throw place.error(.badValue, "'\(excerpt(text))' is no regular expression")
            }
        }
        guard case .string(let text) = place.node.value else {
            choice = .anyOf(texts)
            return
        }
        let isAll = ["all-linear", "all_linear"].contains(text)
        choice = isAll ? .allLinear : .expression(text)
    }

    /// Whether a trained matrix is the weight of one of the linear layers that are meant.
    func contains(parameter name: String) -> Bool {
        let end = ".weight"
        guard name.hasSuffix(end) else { return false }
        let module = String(name.dropLast(end.count))
        let parts = module.split(separator: ".").map(String.init)
        guard !parts.contains(where: Parameter.embeddingNames.contains) else { return false }
        return switch choice {
        case .allLinear: true
        case .expression(let text): OptimizerTargets.matches(text, module)
        case .anyOf(let words):
            words.contains { module.contains($0) || OptimizerTargets.matches($0, module) }
        }
    }

    private static func matches(_ expression: String, _ module: String) -> Bool {
        if expression == module { return true }
        // Words without operators match themselves alone; expressions are few.
        let isPlain = expression.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        }
        guard !isPlain, let regex = try? Regex(expression) else { return false }
        return (try? regex.wholeMatch(in: module)) != nil
    }
}

extension AxolotlConfig {
    /// Checks that an optimizer with targets has weights to train.
    /// - Throws: `ConfigError` beside an adapter.
    func checkOptimizerTargets() throws(ConfigError) {
        guard adapter != nil, training.optimizer.name.hasPrefix("galore") else { return }
        throw try document.required("optimizer").error(
            .badValue,
            "\(training.optimizer.name) projects the gradients of weights that are trained themselves; remove adapter, or "
                + "choose another optimizer")
    }
}
