// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a model or an adapter as a whole.
import EftFormats

/// A model or adapter that cannot be used as asked: what, where, and what to do.
package struct ModelError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// An architecture, option or combination that Eft does not have.
        case unsupported
        /// A part that is needed is not there.
        case missing
        /// Two parts that do not belong together, such as an adapter and a base of another shape.
        case mismatch
        /// A request that makes no sense for the model, such as a token id beyond the vocabulary.
        case invalidInput
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file or folder, when known.
    package let path: String?

    /// Makes an error.
    package init(_ code: Code, _ message: String, path: String? = nil) {
        self.code = code
        self.message = message
        self.path = path
    }

    package var description: String { FormatError.located(message, path: path) }
}
