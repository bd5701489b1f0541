// SPDX-License-Identifier: Apache-2.0
// Options of other tools that are taken and have no effect, each with the reason.
import EftCommandLine

/// An option that is taken so that command lines written for another tool work as they are.
struct IneffectiveOption: Sendable {
    /// One or two spellings.
    let names: [String]
    /// The name of its value; nil for a flag.
    var value: String?
    /// Whether the flag has a `--no-` form.
    var isInvertible = false
    /// Why it has no effect.
    let reason: String

    init(
        _ names: String..., value: String? = nil, isInvertible: Bool = false, reason: String
    ) {
        self.names = names
        self.value = value
        self.isInvertible = isInvertible
        self.reason = reason
    }

    /// The option as a verb declares it.
    var specification: OptionSpecification {
        let kind: OptionSpecification.Kind =
            value.map { .value($0) } ?? (isInvertible ? .invertibleFlag : .flag)
        let help = "no effect: \(reason)"
        return names.count > 1
            ? OptionSpecification(names[0], names[1], kind: kind, help: help)
            : OptionSpecification(names[0], kind: kind, help: help)
    }

    /// Those of a list that were given, in one line by reason; nil when none were.
    static func notice(_ options: [IneffectiveOption], _ arguments: ParsedArguments) -> String? {
        let given = options.filter { arguments.isGiven($0.specification.key) }
        guard !given.isEmpty else { return nil }
        var reasons: [String] = []
        for option in given where !reasons.contains(option.reason) { reasons.append(option.reason) }
        let parts = reasons.map { reason in
            given.filter { $0.reason == reason }.map(\.names[0]).joined(separator: ", ")
                + " (\(reason))"
        }
        return "without effect here: " + parts.joined(separator: ", ")
    }
}
