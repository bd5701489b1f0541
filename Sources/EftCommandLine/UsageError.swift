// SPDX-License-Identifier: Apache-2.0
// A command line that cannot be followed.

/// A fault in the command line: which option, what was expected, what was found.
package struct UsageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong and what to do.
    package let message: String
    /// The verb, when it is known.
    package var command: String?

    /// Makes an error.
    package init(_ message: String, command: String? = nil) {
        self.message = message
        self.command = command
    }

    package var description: String { message }

    /// The lines for standard error: the fault, and where help is.
    package func text(program: String) -> String {
        let caller = command.map { "\(program) \($0)" } ?? program
        return "\(caller): \(message)\n'\(caller) --help' explains the usage.\n"
    }
}
