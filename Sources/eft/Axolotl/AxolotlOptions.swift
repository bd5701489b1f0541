// SPDX-License-Identifier: Apache-2.0
// What the verbs that read an Axolotl configuration share: options, keys on the command line, notices.
import EftCommandLine
import EftConfig
import EftHub
import EftTraining

/// Options of axolotl's commands, and the configuration with what the command line puts in place of its keys.
enum AxolotlOptions {
    static let arguments = [
        ArgumentSpecification("CONFIG", help: "the configuration, a YAML file"),
        ArgumentSpecification(
            "LAUNCHER-ARGS", count: .any,
            help: "what stands behind --: arguments of accelerate or torchrun, without effect"),
    ]

    static let unknownOptions = UnknownOptions.passedThrough(
        booleanKeys: AxolotlConfig.booleanKeys)

    static let debug = [
        OptionSpecification("--debug", help: "show examples with each token's label and id"),
        OptionSpecification(
            "--debug-text-only", help: "show examples as text, masked and trained parts apart"),
        OptionSpecification(
            "--debug-num-examples", kind: .value("N"), help: "examples to show", defaultText: "3"),
    ]

    static let dryRun = OptionSpecification(
        "--dry-run", help: "show the plan and the first examples, and write nothing")

    // MARK: Without effect

    private static let oneProcess = "one process does the work"
    private static let local = "nothing runs elsewhere"
    private static let fetching = "what is named and not here is always fetched"

    static let launcher = [
        IneffectiveOption("--launcher", value: "WORD", reason: oneProcess),
        IneffectiveOption("--num-processes", value: "N", reason: oneProcess),
        IneffectiveOption("--num-machines", value: "N", reason: oneProcess),
        IneffectiveOption("--main-process-port", value: "N", reason: oneProcess),
        IneffectiveOption("--use-deepspeed", reason: oneProcess),
        IneffectiveOption("--cloud", value: "FILE", reason: local),
    ]

    static let downloads = [
        IneffectiveOption("--download", isInvertible: true, reason: fetching),
        IneffectiveOption("--iterable", reason: "data is read row by row already"),
    ]

    // MARK: Keys

    /// Keys given as options.
    /// - Throws: `UsageError` for a name that is neither an option nor a key, with the nearest of both.
    static func overrides(_ arguments: ParsedArguments) throws(UsageError) -> [ConfigOverride] {
        let stray = arguments.arguments("LAUNCHER-ARGS").first
        if let stray, !stray.hasPrefix("-") {
            throw UsageError(
                "unexpected argument '\(excerpt(stray))'", command: arguments.command.name)
        }
        let overrides = arguments.passedThrough.map { ConfigOverride($0.key, $0.value) }
        for override in overrides {
            let key = override.path.first ?? ""
            guard !AxolotlConfig.isKey(key) else { continue }
            throw unknown(key, arguments)
        }
        return overrides
    }

    private static func unknown(_ key: String, _ arguments: ParsedArguments) -> UsageError {
        let typed = "--" + key.replacing("_", with: "-")
        let options = arguments.command.options.flatMap(\.names).filter { $0.hasPrefix("--") }
        let keys = AxolotlConfig.keys.map { "--" + $0.replacing("_", with: "-") }
        let near = closestMatch(
            String(typed.dropFirst(2)), in: (options + keys).map { String($0.dropFirst(2)) })
        let hint = near.map { "; did you mean '--\($0)'?" } ?? ""
        return UsageError(
            "'\(excerpt(typed))' is neither an option nor a key of a configuration\(hint)",
            command: arguments.command.name)
    }

    /// The configuration that the command line names, with the keys that it gives.
    /// - Throws: `UsageError`, `ConfigError`.
    static func config(_ arguments: ParsedArguments) throws -> AxolotlConfig {
        var config = try AxolotlConfig.read(
            arguments.requiredArgument("CONFIG"), overrides: overrides(arguments))
        try fetch(&config, arguments)
        return config
    }

    /// Puts paths in the place of names of the hub, and fetches what is not on this machine.
    /// - Parameter base: the folder to take for the base model; the named one when nil.
    /// - Throws: `HubError`.
    static func fetch(
        _ config: inout AxolotlConfig, _ arguments: ParsedArguments, base: String? = nil
    ) throws {
        let location = ModelLocation(arguments)
        let named = config.model.baseModel
        config.model.baseModel = if let base { base } else { try location.path(named) }
        // A folder of the cache means nothing on other machines.
        if arguments.source?.isName(named) == true, config.model.baseModel != named {
            config.model.hubName = HubName(named)?.id ?? named
        }
        for place in [\ModelSettings.baseModelConfig, \.tokenizerConfig] {
            config.model[keyPath: place] = try config.model[keyPath: place].map(location.path)
        }
        if let folder = config.adapter?.folder {
            config.adapter?.folder = try location.adapter(folder)
        }
        if let hub = arguments.source as? HubModels {
            try HubDatasets.fetch(config.data, hub.fetcher)
        }
    }

    /// The document that the command line names, for verbs that need only some of its keys.
    /// - Throws: `UsageError`, `ConfigError`.
    static func document(_ arguments: ParsedArguments) throws -> ConfigCursor {
        try AxolotlConfig.document(
            arguments.requiredArgument("CONFIG"), overrides: overrides(arguments))
    }
}

extension ParsedArguments {
    /// The options that were given and that another verb has too, as they would be typed for that verb.
    func words(for other: CommandSpecification, except names: Set<String> = []) -> [String] {
        var words: [String] = []
        for option in command.options where !names.contains(option.key) && isGiven(option.key) {
            guard
                let target = other.options.first(where: {
                    $0.names.contains(option.primaryName)
                })
            else { continue }
            switch target.kind {
            case .flag, .invertibleFlag:
                let name = target.primaryName
                words.append(flag(option.key) ? name : "--no-" + name.dropFirst(2))
            case .value, .repeated:
                for value in strings(option.key) { words.append("\(target.primaryName)=\(value)") }
            }
        }
        return words
    }
}
