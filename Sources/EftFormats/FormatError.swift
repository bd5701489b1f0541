// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a checkpoint file, or with reading and writing one.
#if canImport(Glibc)
    import Glibc
#endif

/// A fault of a file or of its storage medium: what, in which file and tensor, and what to do.
package struct FormatError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
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

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file, when known.
    package var path: String?
    /// The tensor, when it is about one.
    package var tensor: String?

    /// Makes an error.
    package init(_ code: Code, _ message: String, path: String? = nil, tensor: String? = nil) {
        self.code = code
        self.message = message
        self.path = path
        self.tensor = tensor
    }

    package var description: String {
        FormatError.located(message, path: path, tensor: tensor)
    }

    /// A message behind the file and the tensor that it is about, for errors of the layers above too.
    package static func located(_ message: String, path: String?, tensor: String? = nil) -> String {
        var text = ""
        if let path { text += "\(path): " }
        if let tensor { text += "tensor '\(tensor)': " }
        return text + message
    }

    /// An error whose message ends with the operating system's text for `number`.
    static func system(
        _ code: Code, _ message: String, path: String, errno number: Int32
    ) -> FormatError {
        let isFull = number == ENOSPC || number == EDQUOT
        let remedy = isFull ? "; make room and run it again" : ""
        return FormatError(
            code, "\(message): \(String(cString: strerror(number)))\(remedy)", path: path)
    }
}
