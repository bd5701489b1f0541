// SPDX-License-Identifier: Apache-2.0
// What a verb is: its options, arguments and examples, as data.

/// What may complete a value on the shell's command line.
package enum ValueCompletion: Sendable, Hashable {
    case none
    case file
    case folder
}

/// A command line shown as an example.
package struct Example: Sendable {
    /// The command, as typed.
    package let command: String
    /// What it does.
    package let explanation: String

    /// Makes an example.
    package init(_ command: String, _ explanation: String) {
        self.command = command
        self.explanation = explanation
    }
}

/// An option of a verb.
package struct OptionSpecification: Sendable {
    /// Whether an option takes a value, and how often it may stand.
    package enum Kind: Sendable, Hashable {
        /// On when it stands there.
        case flag
        /// On as `--name`, off as `--no-name`.
        case invertibleFlag
        /// Takes one value, called so in the help; may stand once.
        case value(String)
        /// Takes a value each time it stands.
        case repeated(String)
    }

    /// All spellings, dashes included, such as `-hb` and `--head-bits`.
    package let names: [String]
    /// Whether it takes a value.
    package let kind: Kind
    /// What it does, in a sentence or two.
    package let help: String
    /// What holds when it is not given, for the help only.
    package let defaultText: String?
    /// The values it takes, when they are a fixed list; others are refused.
    package let choices: [String]
    /// Whether it must be given.
    package let isRequired: Bool
    /// What completes its value.
    package let completion: ValueCompletion
    /// Whether it takes all words up to the next option as values, as Python's argparse has it.
    package let takesMany: Bool

    /// Makes an option.
    package init(
        _ names: String..., kind: Kind = .flag, help: String, defaultText: String? = nil,
        choices: [String] = [], isRequired: Bool = false, completion: ValueCompletion = .none,
        takesMany: Bool = false
    ) {
        self.init(
            names: names, kind: kind, help: help, defaultText: defaultText, choices: choices,
            isRequired: isRequired, completion: completion, takesMany: takesMany)
    }

    /// Makes an option of a list of names.
    package init(
        names: [String], kind: Kind = .flag, help: String, defaultText: String? = nil,
        choices: [String] = [], isRequired: Bool = false, completion: ValueCompletion = .none,
        takesMany: Bool = false
    ) {
        precondition(!names.isEmpty && names.allSatisfy { $0.hasPrefix("-") && $0.count > 1 })
        self.names = names
        self.kind = kind
        self.help = help
        self.defaultText = defaultText
        self.choices = choices
        self.isRequired = isRequired
        self.completion = completion
        self.takesMany = takesMany
    }

    /// The name under which the value is asked for: the first long name, else the first, without
    /// its dashes.
    package var key: String { Self.bare(primaryName) }

    /// The spelling used in messages.
    package var primaryName: String { names.first { $0.hasPrefix("--") } ?? names[0] }

    /// The name of the value in the help; nil for flags.
    package var valueName: String? {
        switch kind {
        case .flag, .invertibleFlag: nil
        case .value(let name), .repeated(let name): name
        }
    }

    /// Whether its value is a JSON object, whose keys may be given one by one.
    var takesObject: Bool { valueName == "JSON" }

    /// A spelling without its dashes.
    static func bare(_ name: String) -> String { String(name.drop { $0 == "-" }) }
}

/// A value of a verb that stands without an option's name.
package struct ArgumentSpecification: Sendable {
    /// How many of it there may be.
    package enum Count: Sendable, Hashable {
        case one
        case optional
        /// Any number; only the last argument of a verb.
        case any
    }

    /// The name in the help and in messages, such as `CONFIG`.
    package let name: String
    /// How many there may be.
    package let count: Count
    /// What it is.
    package let help: String
    /// What completes it.
    package let completion: ValueCompletion

    /// Makes an argument.
    package init(
        _ name: String, count: Count = .one, help: String, completion: ValueCompletion = .file
    ) {
        self.name = name
        self.count = count
        self.help = help
        self.completion = completion
    }
}

/// What happens with options that a verb does not declare.
package enum UnknownOptions: Sendable {
    /// They are errors.
    case refused
    /// They are kept as pairs of key and text. Keys among `booleanKeys` take the next word only
    /// when it is a truth value.
    case passedThrough(booleanKeys: Set<String>)
}

/// A verb of the program.
package struct CommandSpecification: Sendable {
    /// The verb.
    package let name: String
    /// Other words for it, accepted and not advertised.
    package let aliases: [String]
    /// What it does, in one line.
    package let abstract: String
    /// More about it; a newline ends a paragraph.
    package let discussion: String
    /// Command lines that show its use.
    package let examples: [Example]
    /// Its options; `--help` is always there.
    package let options: [OptionSpecification]
    /// Options that it takes besides, of which neither its help nor completion says anything.
    package let hiddenOptions: [OptionSpecification]
    /// Its arguments, in order.
    package let arguments: [ArgumentSpecification]
    /// What happens with options not declared here.
    package let unknownOptions: UnknownOptions
    /// Verbs below it with options of their own; their names begin with its name and a space.
    package let subcommands: [CommandSpecification]

    /// Makes a verb.
    package init(
        name: String, aliases: [String] = [], abstract: String, discussion: String = "",
        examples: [Example] = [], options: [OptionSpecification] = [],
        hiddenOptions: [OptionSpecification] = [], arguments: [ArgumentSpecification] = [],
        unknownOptions: UnknownOptions = .refused,
        subcommands: [CommandSpecification] = []
    ) {
        let spellings = (options + hiddenOptions).flatMap(\.names).map(ArgumentParser.normalized)
        precondition(Set(spellings).count == spellings.count, "an option is declared twice")
        precondition(arguments.dropLast().allSatisfy { $0.count != .any })
        self.name = name
        self.aliases = aliases
        self.abstract = abstract
        self.discussion = discussion
        self.examples = examples
        self.options = options
        self.hiddenOptions = hiddenOptions
        self.arguments = arguments
        self.unknownOptions = unknownOptions
        self.subcommands = subcommands
        precondition(subcommands.allSatisfy { $0.name.hasPrefix(name + " ") })
    }

    /// The verb with one option more.
    package func adding(_ option: OptionSpecification) -> CommandSpecification {
        CommandSpecification(
            name: name, aliases: aliases, abstract: abstract, discussion: discussion,
            examples: examples, options: options + [option], hiddenOptions: hiddenOptions,
            arguments: arguments, unknownOptions: unknownOptions, subcommands: subcommands)
    }

    /// The verb below this one that a word names.
    func subcommand(named word: String) -> CommandSpecification? {
        subcommands.first { $0.name == "\(name) \(word)" }
    }
}
