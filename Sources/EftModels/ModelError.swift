// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a model or an adapter as a whole.
import EftConfig

/// A model or adapter that cannot be used as asked: what, where, and what to do.
package typealias ModelError = LocatedError<ModelErrorCode>

/// The kind of fault of a `ModelError`.
package enum ModelErrorCode: Sendable, Hashable {
    /// An architecture, option or combination that Eft does not have.
    case unsupported
    /// A part that is needed is not there.
    case missing
    /// Two parts that do not belong together, such as an adapter and a base of another shape.
    case mismatch
    /// A request that makes no sense for the model, such as a token id beyond the vocabulary.
    case invalidInput
}
