// SPDX-License-Identifier: Apache-2.0
// Words of a command line sorted into options, values and arguments.

import EftConfig

/// Reads the words behind a verb.
///
/// Options are `--name value`, `--name=value` and the same with a short name (`-hb 6`, `-hb=6`;
/// letters are never bundled). Underscores in long names count as dashes. `--` ends options. A word
/// that looks like an option is never taken for a value, except behind `=`; negative numbers and a
/// single dash do not look like one. `--name.key value` sets a key of an option that takes a JSON
/// object.
package struct ArgumentParser {
    /// An option and how a spelling means it.
    private struct Meaning {
        var option: OptionSpecification
        var isInverted: Bool
    }

    private let command: CommandSpecification
    private var meanings: [String: Meaning] = [:]
    private var words: ArraySlice<String>
    private var result: ParsedArguments
    private var positional: [String] = []
    private var keys = ObjectKeys()

    /// Reads the words.
    /// - Parameters:
    ///   - configuration: what holds for options that are not among them.
    ///   - source: where models come from that no folder holds.
    /// - Throws: `UsageError` naming the option.
    package static func parse(
        _ words: [String], for command: CommandSpecification,
        configuration: UserConfiguration = UserConfiguration(),
        source: (any ModelSource)? = nil
    ) throws(UsageError) -> ParsedArguments {
        var parser = ArgumentParser(words, command)
        parser.result.configuration = configuration
        parser.result.source = source
        do throws(UsageError) {
            return try parser.run()
        } catch {
            throw UsageError(error.message, command: command.name)
        }
    }

    private init(_ words: [String], _ command: CommandSpecification) {
        self.words = words[...]
        self.command = command
        result = ParsedArguments(command: command)
        for option in command.options + command.hiddenOptions {
            for name in option.names {
                meanings[Self.normalized(name)] = Meaning(option: option, isInverted: false)
                guard option.kind == .invertibleFlag, name.hasPrefix("--") else { continue }
                meanings["--no-" + Self.normalized(name).dropFirst(2)] =
                    Meaning(option: option, isInverted: true)
            }
        }
    }

    /// A name with its underscores turned into dashes; short names stay as they are.
    static func normalized(_ name: String) -> String {
        name.hasPrefix("--") ? name.replacing("_", with: "-") : name
    }

    private mutating func run() throws(UsageError) -> ParsedArguments {
        while let word = words.popFirst() {
            if word == "--" {
                positional += words
                words = []
            } else if word.hasPrefix("-"), word != "-", !Self.isNumber(word) {
                try option(word)
                if result.isHelpRequested { return result }
            } else {
                positional.append(word)
            }
        }
        try assignPositional()
        try keys.join(into: &result)
        for option in command.options where option.isRequired && !result.isGiven(option.key) {
            throw UsageError("\(Self.formatted(option)) is required: \(option.help)")
        }
        return result
    }

    // MARK: Options

    private mutating func option(_ word: String) throws(UsageError) {
        let pieces = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(pieces[0])
        let attached = pieces.count > 1 ? String(pieces[1]) : nil
        guard let meaning = meanings[Self.normalized(name)] else {
            if name == "--help" || name == "-h" {
                result.isHelpRequested = true
                return
            }
            if let option = objectOption(name) {
                keys.add(name, of: option, text: attached ?? valueOfKey())
                return
            }
            return try unknown(name, attached)
        }
        switch meaning.option.kind {
        case .flag, .invertibleFlag:
            guard attached == nil else {
                throw UsageError("\(name) takes no value; found '\(excerpt(attached ?? ""))'")
            }
            try result.set(meaning.option, flag: !meaning.isInverted)
        case .value, .repeated:
            let value: String
            if let attached {
                value = attached
            } else {
                value = try nextValue(of: meaning.option, name)
            }
            try check(value, of: meaning.option, name)
            try result.add(meaning.option, value: value)
            while meaning.option.takesMany, let next = words.first, !Self.looksLikeOption(next) {
                try check(next, of: meaning.option, name)
                try result.add(meaning.option, value: next)
                words.removeFirst()
            }
        }
    }

    private mutating func nextValue(
        of option: OptionSpecification, _ name: String
    ) throws(UsageError) -> String {
        let wanted = option.valueName ?? "a value"
        guard let next = words.first else {
            throw UsageError("\(name) needs a value: \(name) \(wanted)")
        }
        guard !Self.looksLikeOption(next) else {
            throw UsageError(
                "\(name) needs a value: \(name) \(wanted) (write \(name)=\(excerpt(next)) if that is it)"
            )
        }
        words.removeFirst()
        return next
    }

    /// The option that takes a JSON object of which a name with dots is a key.
    private func objectOption(_ name: String) -> OptionSpecification? {
        guard let dot = name.firstIndex(of: ".") else { return nil }
        let option = meanings[Self.normalized(String(name[..<dot]))]?.option
        return option?.takesObject == true ? option : nil
    }

    /// The word behind a key; a key that stands alone is true.
    private mutating func valueOfKey() -> String {
        guard let next = words.first, !Self.looksLikeOption(next) else { return "true" }
        words.removeFirst()
        return next
    }

    private func check(
        _ value: String, of option: OptionSpecification, _ name: String
    ) throws(UsageError) {
        guard !option.choices.isEmpty, !option.choices.contains(value) else { return }
        let near = closestMatch(value, in: option.choices).map { "; did you mean '\($0)'?" } ?? ""
        let list = option.choices.joined(separator: ", ")
        throw UsageError("\(name) takes one of \(list); found '\(excerpt(value))'\(near)")
    }

    // MARK: Options not declared

    private mutating func unknown(_ name: String, _ attached: String?) throws(UsageError) {
        guard case .passedThrough(let booleanKeys) = command.unknownOptions,
            name.hasPrefix("--"), name.count > 2
        else { throw unknownOption(name) }
        var key = String(name.dropFirst(2)).replacing("-", with: "_")
        var value = attached
        if value == nil {
            if key.hasPrefix("no_"), key.count > 3 {
                key = String(key.dropFirst(3))
                value = "false"
            } else if booleanKeys.contains(key) {
                let isWord = words.first.map { Self.truthWords.contains($0.lowercased()) } ?? false
                value = isWord ? words.removeFirst() : "true"
            } else if let next = words.first, !Self.looksLikeOption(next) {
                value = words.removeFirst()
            } else {
                value = "true"
            }
        }
        guard !result.passedThrough.contains(where: { $0.key == key }) else {
            throw UsageError("\(name) is given twice")
        }
        result.passedThrough.append((key, value ?? "true"))
    }

    /// Truth values, and the words that some keys take beside them.
    private static let truthWords: Set = [
        "true", "false", "yes", "no", "on", "off", "auto", "offload", "offload_disk", "disk",
        "legacy",
        "hidden_states", "null",
    ]

    private func unknownOption(_ name: String) -> UsageError {
        let names = (command.options + command.hiddenOptions).flatMap(\.names) + ["--help"]
        let bare = names.map(OptionSpecification.bare)
        let near = closestMatch(OptionSpecification.bare(name), in: bare)
        let hint = near.flatMap { bare.firstIndex(of: $0) }.map { "; did you mean '\(names[$0])'?" }
        return UsageError("unknown option '\(excerpt(name))'\(hint ?? "")")
    }

    // MARK: Arguments

    private mutating func assignPositional() throws(UsageError) {
        var rest = positional[...]
        for argument in command.arguments {
            switch argument.count {
            case .one:
                guard let word = rest.popFirst() else {
                    throw UsageError("\(argument.name) is missing: \(argument.help)")
                }
                result.positional[argument.name] = [word]
            case .optional: result.positional[argument.name] = rest.popFirst().map { [$0] } ?? []
            case .any:
                result.positional[argument.name] = Array(rest)
                rest = []
            }
        }
        if let extra = rest.first { throw UsageError("unexpected argument '\(excerpt(extra))'") }
    }

    // MARK: Words

    /// Whether a word is a dash or two and a name, perhaps with a value behind `=`.
    private static func looksLikeOption(_ word: String) -> Bool {
        let name = word.drop { $0 == "-" }.prefix { $0 != "=" }
        let dashes = word.utf8.prefix { $0 == UInt8(ascii: "-") }.count
        guard dashes == 1 || dashes == 2 else { return false }
        guard let first = name.first else { return word == "--" }
        guard first.isASCII, first.isLetter else { return false }
        return name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
    }

    private static func isNumber(_ word: String) -> Bool {
        guard let second = word.dropFirst().first else { return false }
        return second.isASCII && (second.isNumber || second == ".") && Double(word) != nil
    }

    private static func formatted(_ option: OptionSpecification) -> String {
        option.valueName.map { "\(option.primaryName) \($0)" } ?? option.primaryName
    }
}
