// SPDX-License-Identifier: Apache-2.0
// The options and arguments that a command line gave, read with the types that the verb expects.

import EftConfig

/// What a command line gave to a verb.
///
/// Options are asked for by their key (`OptionSpecification.key`) or any of their names without
/// dashes; to ask for one that the verb does not declare is a programmer's error.
package struct ParsedArguments: Sendable {
    /// The verb.
    package let command: CommandSpecification
    /// Whether `--help` was among the options; then nothing else has been checked.
    package internal(set) var isHelpRequested = false
    /// Options passed through: keys with underscores, in order, each with its text (`true` for one
    /// that stood alone).
    package internal(set) var passedThrough: [(key: String, value: String)] = []
    /// What holds for options that were not given.
    package var configuration = UserConfiguration()
    /// Where models come from that no folder holds.
    package var source: (any ModelSource)?
    var flags: [String: Bool] = [:]
    var values: [String: [String]] = [:]
    var positional: [String: [String]] = [:]

    init(command: CommandSpecification) { self.command = command }

    // MARK: Filling

    mutating func set(_ option: OptionSpecification, flag: Bool) throws(UsageError) {
        if let earlier = flags[option.key], earlier != flag {
            throw UsageError("\(option.primaryName) is given both as on and as off")
        }
        flags[option.key] = flag
    }

    mutating func add(_ option: OptionSpecification, value: String) throws(UsageError) {
        if case .value = option.kind, values[option.key] != nil {
            throw UsageError("\(option.primaryName) is given twice")
        }
        values[option.key, default: []].append(value)
    }

    // MARK: Options

    private func option(_ name: String) -> OptionSpecification {
        if let option = declared(name) { return option }
        preconditionFailure("the verb '\(command.name)' declares no option '\(name)'")
    }

    /// Whether the verb has an option of this name.
    package func declares(_ name: String) -> Bool { declared(name) != nil }

    /// The verb's option of this name.
    package func declared(_ name: String) -> OptionSpecification? {
        let name = name.replacing("_", with: "-")
        return (command.options + command.hiddenOptions).first { option in
            option.names.contains {
                OptionSpecification.bare(ArgumentParser.normalized($0)) == name
            }
        }
    }

    /// An error about the value of an option.
    package func error(_ name: String, _ message: String) -> UsageError {
        UsageError("\(option(name).primaryName) \(message)", command: command.name)
    }

    /// Whether an option was given.
    package func isGiven(_ name: String) -> Bool {
        let key = option(name).key
        return flags[key] != nil || values[key] != nil
    }

    /// Whether a flag is on; `fallback` when it was not given.
    package func flag(_ name: String, default fallback: Bool = false) -> Bool {
        flags[option(name).key] ?? fallback
    }

    /// The text of an option; what the configuration says when it was not given, or nil.
    package func string(_ name: String) -> String? {
        let key = option(name).key
        return values[key]?.last ?? configuration.options[key]
    }

    /// The text of an option, or `fallback` when it was not given.
    package func string(_ name: String, default fallback: String) -> String {
        string(name) ?? fallback
    }

    /// The texts of an option that may stand repeatedly.
    package func strings(_ name: String) -> [String] { values[option(name).key] ?? [] }

    /// The folder of the model that an option names, by path or by name.
    /// - Throws: `UsageError` when it was not given, `ModelNotFound`.
    package func model(_ name: String) throws -> String {
        try ModelLocation(self).resolve(required(name))
    }

    /// The path of an adapter, named by path or by name; any other text as it is.
    /// - Throws: what keeps a named adapter from being found.
    package func adapter(at text: String) throws -> String {
        try ModelLocation(self).adapter(text)
    }

    /// The folder of the model that an argument of the verb names, by path or by name.
    /// - Throws: `UsageError` when it was not given, `ModelNotFound`.
    package func modelArgument(_ name: String) throws -> String {
        try ModelLocation(self).resolve(requiredArgument(name))
    }

    /// The text of an option that this use of the verb needs.
    /// - Throws: `UsageError` when it was not given.
    package func required(_ name: String) throws(UsageError) -> String {
        guard let value = string(name) else { throw error(name, "is required") }
        return value
    }

    /// The parts of an option's value between commas.
    /// - Throws: `UsageError` when a part is empty.
    package func list(_ name: String) throws(UsageError) -> [String]? {
        guard let text = string(name) else { return nil }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
            .map(trimmingSpace)
        guard parts.allSatisfy({ !$0.isEmpty }) else {
            throw error(name, "takes a list with commas; found an empty part in '\(excerpt(text))'")
        }
        return parts
    }

    // MARK: Numbers

    /// The integer that an option gives, or nil when it was not given.
    /// - Throws: `UsageError` when it is none, or outside `range`.
    package func int(
        _ name: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(UsageError) -> Int? {
        guard let text = string(name) else { return nil }
        return try int(text, name, range)
    }

    /// The integer that an option gives, or `fallback` when it was not given.
    /// - Throws: `UsageError` when it is none, or outside `range`.
    package func int(
        _ name: String, default fallback: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(UsageError) -> Int {
        try int(name, in: range) ?? fallback
    }

    /// The integers between commas that an option gives.
    /// - Throws: `UsageError` when one is none, or outside `range`.
    package func ints(
        _ name: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(UsageError) -> [Int]? {
        guard let parts = try list(name) else { return nil }
        var numbers: [Int] = []
        for part in parts { numbers.append(try int(part, name, range)) }
        return numbers
    }

    private func int(
        _ text: String, _ name: String, _ range: ClosedRange<Int>
    ) throws(UsageError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            let limits =
                switch (range.lowerBound, range.upperBound) {
                case (.min, .max): ""
                case (let low, .max): " of at least \(low)"
                case (.min, let high): " of at most \(high)"
                case (let low, let high): " from \(low) to \(high)"
                }
            throw error(name, "takes an integer\(limits); found '\(excerpt(text))'")
        }
        return value
    }

    /// The finite number that an option gives, or nil when it was not given.
    /// - Throws: `UsageError` when it is none, or outside `range`.
    package func double(
        _ name: String,
        in range: ClosedRange<Double> = -.greatestFiniteMagnitude ... .greatestFiniteMagnitude
    ) throws(UsageError) -> Double? {
        guard let text = string(name) else { return nil }
        // Of what Swift reads, words (inf, nan) and hexadecimal numbers are left out.
        let isPlain = text.utf8.allSatisfy { "0123456789+-.eE".utf8.contains($0) }
        if isPlain, let value = Double(text), value.isFinite, range.contains(value) { return value }
        var limits = ""
        if range.upperBound < .greatestFiniteMagnitude {
            limits = " from \(range.lowerBound) to \(range.upperBound)"
        } else if range.lowerBound > -.greatestFiniteMagnitude {
            limits = " of at least \(range.lowerBound)"
        }
        throw error(name, "takes a number\(limits); found '\(excerpt(text))'")
    }

    /// The finite number that an option gives, or `fallback` when it was not given.
    /// - Throws: `UsageError` when it is none, or outside `range`.
    package func double(
        _ name: String, default fallback: Double,
        in range: ClosedRange<Double> = -.greatestFiniteMagnitude ... .greatestFiniteMagnitude
    ) throws(UsageError) -> Double {
        try double(name, in: range) ?? fallback
    }

    /// The memory size that an option gives, or nil when it was not given.
    /// - Throws: `UsageError` when it is none.
    package func memorySize(_ name: String) throws(UsageError) -> MemorySize? {
        guard let text = string(name) else { return nil }
        guard let size = MemorySize.parse(text) else { throw noSize(name, text) }
        return size
    }

    /// The memory sizes between commas that an option gives, one a device.
    /// - Throws: `UsageError` when one is none.
    package func memorySizes(_ name: String) throws(UsageError) -> [MemorySize]? {
        guard let text = string(name) else { return nil }
        guard let sizes = MemorySize.parseList(text) else {
            throw error(
                name,
                "takes a size such as 24GiB, 512MiB, 1.5G or bytes, or a list such as 24GiB,24GiB or 2x24GiB; "
                    + "found '\(excerpt(text))'")
        }
        return sizes
    }

    private func noSize(_ name: String, _ text: String) -> UsageError {
        error(name, "takes a size such as 24GiB, 512MiB, 1.5G or bytes; found '\(excerpt(text))'")
    }

    // MARK: Arguments

    /// The argument of this name, or nil when it was not given.
    package func argument(_ name: String) -> String? { arguments(name).first }

    /// The argument of this name, which the verb declares as `.one`.
    package func requiredArgument(_ name: String) throws(UsageError) -> String {
        guard let value = argument(name) else {
            throw UsageError("\(name) is missing", command: command.name)
        }
        return value
    }

    /// All arguments of this name.
    package func arguments(_ name: String) -> [String] {
        precondition(
            command.arguments.contains { $0.name == name },
            "the verb '\(command.name)' declares no argument '\(name)'")
        return positional[name] ?? []
    }
}

/// A text without the spaces and tabs around it.
func trimmingSpace(_ text: some StringProtocol) -> String {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    let front = text.drop(while: isSpace)
    return String(front.prefix(front.count - front.reversed().prefix(while: isSpace).count))
}
