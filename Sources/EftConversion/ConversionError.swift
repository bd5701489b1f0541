// SPDX-License-Identifier: Apache-2.0
// What can go wrong when weights are converted, merged or quantized.
import EftConfig

/// A conversion that cannot be made as asked: what, where, and what to do.
package typealias ConversionError = LocatedError<ConversionErrorCode>

/// The kind of fault of a `ConversionError`.
package enum ConversionErrorCode: Sendable, Hashable {
    /// A request that makes no sense, such as an output that is the input.
    case usage
    /// Parts that do not belong together, such as an adapter and a base of another shape.
    case mismatch
    /// A form of weights that this operation does not take.
    case unsupported
    /// Numbers that are infinite or not a number, or too large for the type asked for.
    case numbers
    /// A file of the work folder that contradicts itself.
    case damaged
}
