// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a constraint on generated text.

import EftConfig

/// A constraint that cannot be enforced: what is wrong, where in it, and what to do.
package struct ConstraintError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// The constraint is not well formed, or empty.
        case malformed
        /// The constraint asks for something that cannot be enforced.
        case unsupported
        /// No text satisfies the constraint.
        case impossible
        /// The constraint is larger, deeper or costlier than is accepted.
        case tooComplex
        /// The tokenizer's tokens cannot be turned into bytes.
        case vocabulary
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The place in the constraint, such as `#/properties/age/minimum`; empty when it concerns the whole.
    package let path: String

    /// Makes an error.
    package init(_ code: Code, _ message: String, path: String = "") {
        self.code = code
        self.message = message
        self.path = excerpt(path, limit: 320)
    }

    package var description: String { path.isEmpty ? message : "\(path): \(message)" }

    /// The same error at a place, unless it already names one.
    func at(_ place: @autoclosure () -> String) -> ConstraintError {
        path.isEmpty ? ConstraintError(code, message, path: place()) : self
    }
}
