// SPDX-License-Identifier: Apache-2.0
// What a verb is.
import EftCommandLine

/// A verb of the program.
protocol Command: Sendable {
    /// Name, options, help.
    static var specification: CommandSpecification { get }
    /// Does the work; errors become exit statuses.
    static func run(_ arguments: ParsedArguments) throws
}
