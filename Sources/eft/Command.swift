// SPDX-License-Identifier: Apache-2.0
// What a verb is.
import EftCommandLine

/// A verb of the program.
protocol Command: Sendable {
    /// Name, options, help.
    static var specification: CommandSpecification { get }
    /// Whether the work saves or serves something, so that it goes on when nobody reads its output any more.
    static func savesWork(_ arguments: ParsedArguments) -> Bool
    /// Does the work; errors become exit statuses.
    static func run(_ arguments: ParsedArguments) throws
}

extension Command {
    static func savesWork(_: ParsedArguments) -> Bool { false }
}
