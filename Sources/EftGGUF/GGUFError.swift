// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a GGUF file.
import EftConfig

/// A fault of a GGUF file: what, in which file and tensor, and what to do.
package typealias GGUFError = LocatedError<GGUFErrorCode>

/// The kind of fault of a `GGUFError`.
package enum GGUFErrorCode: Sendable, Hashable {
    /// The file, a part of it or something in it is not there.
    case missing
    /// The file is there but cannot be opened or read.
    case unreadable
    /// The file contradicts itself or its format; it is cut off, altered, or lies.
    case damaged
    /// The file is well formed but holds something that cannot be used here.
    case unsupported
}
