// SPDX-License-Identifier: Apache-2.0
// What can go wrong with tensors and memory.

/// A failure of the tensor layer: what happened, and what to do about it.
package struct TensorError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure.
    package enum Code: Sendable, Hashable {
        case invalidShape
        case outOfBudget
        case outOfMemory
        case invalidBudget
        case unsupportedMachine
    }

    /// The kind of failure.
    package let code: Code
    /// One or more lines for the user.
    package let message: String

    /// Makes an error.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
