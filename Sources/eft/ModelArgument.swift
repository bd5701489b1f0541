// SPDX-License-Identifier: Apache-2.0
// Where a command line names the model: as its first argument, or behind -m.
import EftCommandLine

enum ModelArgument {
    static let argument = ArgumentSpecification(
        "MODEL", count: .optional,
        help:
            "the model's folder or GGUF file, or its name on the hub: OWNER/NAME, OWNER/NAME:Q4_K_M",
        completion: .folder)
    static let option = OptionSpecification(
        "-m", "--model", kind: .value("DIR"), help: "the model's folder or name, instead of MODEL",
        completion: .folder)

    /// The model's folder, found by path or by name.
    /// - Throws: `UsageError` when none is named, `ModelNotFound`, `HubError`.
    static func path(_ arguments: ParsedArguments) throws -> String {
        try ModelLocation(arguments).resolve(named(arguments))
    }

    /// The model as the command line names it.
    private static func named(_ arguments: ParsedArguments) throws -> String {
        if let path = arguments.string("model") { return path }
        let takesArgument = arguments.command.arguments.contains { $0.name == argument.name }
        guard takesArgument else { return try arguments.required("model") }
        guard let path = arguments.argument(argument.name) else {
            throw UsageError(
                "the model is missing: name its folder or its name on the hub, as in 'eft \(arguments.command.name) ./model'",
                command: arguments.command.name)
        }
        return path
    }
}
