// SPDX-License-Identifier: Apache-2.0
// Options of other tools that are taken and have no effect, each with the reason.
import EftCommandLine

/// An option that is taken so that command lines written for another tool work as they are.
struct IneffectiveOption: Sendable {
    /// The names; the first one is shown in notices.
    let names: [String]
    /// Why it has no effect, as a clause.
    let reason: String
    private let kind: OptionSpecification.Kind
    /// Whether all words up to the next option are its values.
    private let takesMany: Bool

    /// Makes an option.
    /// - Parameters:
    ///   - value: the name of its value; nil for a flag.
    ///   - isInvertible: whether the flag has a `--no-` form.
    init(
        _ names: String..., value: String? = nil, isInvertible: Bool = false, reason: String
    ) {
        let kind: OptionSpecification.Kind =
            value.map { .value($0) } ?? (isInvertible ? .invertibleFlag : .flag)
        self.init(names: names, kind: kind, reason: reason)
    }

    private init(
        names: [String], kind: OptionSpecification.Kind, takesMany: Bool = false, reason: String
    ) {
        self.names = names
        self.kind = kind
        self.takesMany = takesMany
        self.reason = reason
    }

    /// Options that have no effect for the same reason. Names of one option are separated by spaces; those that end in
    /// `-config` take JSON objects.
    /// - Parameters:
    ///   - flags: options that stand alone, also as `--no-NAME`.
    ///   - values: options with a value.
    ///   - lists: options with all values up to the next option.
    static func group(
        reason: String, flags: [String] = [], values: [String] = [], lists: [String] = []
    ) -> [IneffectiveOption] {
        func options(
            _ texts: [String], _ kind: OptionSpecification.Kind, takesMany: Bool = false
        ) -> [IneffectiveOption] {
            texts.map { text in
                IneffectiveOption(
                    names: text.split(separator: " ").map(String.init), kind: kind,
                    takesMany: takesMany, reason: reason)
            }
        }
        let isObject: (String) -> Bool = {
            $0.split(separator: " ").first?.hasSuffix("-config") == true
        }
        return options(flags, .invertibleFlag)
            + options(values.filter { !isObject($0) }, .repeated("VALUE"))
            + options(values.filter(isObject), .repeated("JSON"))
            + options(lists, .repeated("VALUE"), takesMany: true)
    }

    /// The option as a verb declares it.
    var specification: OptionSpecification {
        OptionSpecification(
            names: names, kind: kind, help: "no effect here: \(reason)", takesMany: takesMany)
    }

    /// Those of a list that were given, in one sentence by reason; nil when none were.
    /// - Parameter others: names of options that the verb itself found to have no effect, with the reason.
    static func notice(
        _ options: [IneffectiveOption], _ arguments: ParsedArguments,
        others: [(name: String, reason: String)] = []
    ) -> String? {
        let given =
            options.filter { arguments.isGiven($0.specification.key) }
            .map { (name: $0.names[0], reason: $0.reason) } + others
        guard !given.isEmpty else { return nil }
        var reasons: [String] = []
        for option in given where !reasons.contains(option.reason) { reasons.append(option.reason) }
        let parts = reasons.map { reason in
            given.filter { $0.reason == reason }.map(\.name).joined(separator: ", ")
                + " (\(reason))"
        }
        return "no effect here: " + parts.joined(separator: "; ")
    }
}
