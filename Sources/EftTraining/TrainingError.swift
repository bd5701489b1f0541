// SPDX-License-Identifier: Apache-2.0
// What can go wrong with a training run as a whole.

/// A training run that cannot start or go on: what, where, and what to do.
package struct TrainingError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// The configuration asks for something senseless or that Eft does not have.
        case configuration
        /// The data cannot be trained on.
        case data
        /// A loss or gradient that is no number.
        case diverged
        /// A checkpoint that does not belong to this run.
        case checkpoint
        /// Stopped by the user; what was reached is saved.
        case interrupted
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String

    /// Makes an error.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
