// SPDX-License-Identifier: Apache-2.0
// What can go wrong when weights are converted, merged or quantized.
import EftFormats

/// A conversion that cannot be made as asked: what, where, and what to do.
package struct ConversionError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
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

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file or folder, when known.
    package let path: String?
    /// The tensor or module, when it is about one.
    package let tensor: String?

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
}
