// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a checkpoint file, or with reading and writing one.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

/// A fault of a file or of its storage medium: what, in which file and tensor, and what to do.
package typealias FormatError = LocatedError<FormatErrorCode>

/// The kind of fault of a `FormatError`.
package enum FormatErrorCode: Sendable, Hashable {
    /// The file is there but cannot be opened or read.
    case unreadable
    /// The file contradicts itself or its format; it is cut off, altered, or lies.
    case damaged
    /// The file is well formed but holds something that cannot be read here.
    case unsupported
    /// A file or tensor that is needed is not there.
    case missing
    /// Writing failed: no room, no permission, a failing disk.
    case io
}

extension FormatError {
    /// An error whose message ends with the operating system's text for `number`.
    package static func system(
        _ code: Code, _ message: String, path: String, errno number: Int32
    ) -> FormatError {
        let isFull = number == ENOSPC || number == EDQUOT
        let remedy = isFull ? "; make room and run it again" : ""
        return FormatError(
            code, "\(message): \(String(cString: strerror(number)))\(remedy)", path: path)
    }
}
