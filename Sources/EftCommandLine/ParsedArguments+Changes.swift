// SPDX-License-Identifier: Apache-2.0
// Changes to what a command line gave, for verbs that take another program's words for their own.

import EftConfig

extension ParsedArguments {
    private func key(_ name: String) -> String {
        guard let option = declared(name) else {
            preconditionFailure("the verb '\(command.name)' declares no option '\(name)'")
        }
        return option.key
    }

    /// Gives an option another value, as if it had been on the command line; nil takes it off.
    package mutating func replace(_ name: String, with value: String?) {
        values[key(name)] = value.map { [$0] }
    }

    /// Gives an option that may stand repeatedly other values.
    package mutating func replace(_ name: String, withAll texts: [String]) {
        values[key(name)] = texts.isEmpty ? nil : texts
    }

    /// Turns a flag on or off.
    package mutating func turn(_ name: String, on isOn: Bool) { flags[key(name)] = isOn }

    /// Takes an argument for the value of an option.
    /// - Throws: `UsageError` when both are there and differ, or neither is.
    package mutating func takeArgument(_ argument: String, as name: String) throws(UsageError) {
        let given = self.argument(argument)
        if let given, let value = string(name), value != given {
            throw error(
                name,
                "says '\(excerpt(value))', the argument \(argument) says '\(excerpt(given))'; give one of them"
            )
        }
        guard let value = given ?? string(name) else {
            throw UsageError("\(argument) is missing", command: command.name)
        }
        replace(name, with: value)
    }
}
