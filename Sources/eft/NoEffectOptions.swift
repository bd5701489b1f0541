// SPDX-License-Identifier: Apache-2.0
// Options of another program that change nothing here, so that its command lines work as they are.
import EftCommandLine

/// Options that a verb takes without effect, each with the reason; one notice names those that were given.
struct NoEffectOptions: Sendable {
    /// Options that have no effect for the same reason. Names of one option are separated by spaces.
    struct Group: Sendable {
        /// Why, as a clause.
        let reason: String
        /// Options that stand alone, also as `--no-NAME`.
        var flags: [String] = []
        /// Options with a value.
        var values: [String] = []
        /// Options with all values up to the next option.
        var lists: [String] = []

        var names: [String] { flags + values + lists }
    }

    /// All options, by their reasons.
    let groups: [Group]

    /// What a verb declares as its hidden options.
    var options: [OptionSpecification] {
        groups.flatMap { group in
            let help = "has no effect here: \(group.reason)"
            return group.flags.map {
                OptionSpecification(
                    names: NoEffectOptions.names($0), kind: .invertibleFlag, help: help)
            }
                + group.values.map {
                    OptionSpecification(
                        names: NoEffectOptions.names($0), kind: .repeated("VALUE"), help: help)
                }
                + group.lists.map {
                    OptionSpecification(
                        names: NoEffectOptions.names($0), kind: .repeated("VALUE"), help: help,
                        takesMany: true)
                }
        }
    }

    /// A sentence about the options that a command line gave; nil when there are none.
    /// - Parameter others: names of options that the verb itself found to have no effect, with the reason.
    func notice(
        _ arguments: ParsedArguments, others: [(name: String, reason: String)] = []
    ) -> String? {
        var parts: [(reason: String, names: [String])] = []
        func add(_ name: String, _ reason: String) {
            if let place = parts.firstIndex(where: { $0.reason == reason }) {
                parts[place].names.append(name)
            } else {
                parts.append((reason, [name]))
            }
        }
        for group in groups {
            for name in group.names.map({ NoEffectOptions.names($0)[0] })
            where arguments.isGiven(String(name.drop { $0 == "-" })) {
                add(name, group.reason)
            }
        }
        for other in others { add(other.name, other.reason) }
        guard !parts.isEmpty else { return nil }
        return "no effect here: "
            + parts.map { "\($0.names.joined(separator: ", ")) (\($0.reason))" }
            .joined(separator: "; ")
    }

    /// The names of an option, long ones first.
    private static func names(_ text: String) -> [String] {
        let names = text.split(separator: " ").map(String.init)
        return names.filter { $0.hasPrefix("--") } + names.filter { !$0.hasPrefix("--") }
    }
}
