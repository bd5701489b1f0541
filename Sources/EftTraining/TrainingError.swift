// SPDX-License-Identifier: Apache-2.0
// What can go wrong with a training run as a whole.
import EftConfig

/// A training run that cannot start or go on: what, where, and what to do.
package typealias TrainingError = LocatedError<TrainingErrorCode>

/// The kind of fault of a `TrainingError`.
package enum TrainingErrorCode: Sendable, Hashable {
    /// The configuration asks for something senseless or that Eft does not have.
    case configuration
    /// The data cannot be trained on.
    case data
    /// A loss or gradient that is no number.
    case diverged
    /// A checkpoint that does not belong to this run.
    case checkpoint
    /// A command that was to reward completions did not.
    case reward
    /// Stopped by the user; what was reached is saved.
    case interrupted
}
