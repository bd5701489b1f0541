// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a template, or with the values given to it.

/// A fault in a template or in its rendering: what and where.
package struct TemplateError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// The text is no template.
        case syntax
        /// The template asks for a part of the language that is not offered.
        case unsupported
        /// Something undefined was used as if it were there.
        case undefined
        /// A value of a kind that the operation does not take.
        case type
        /// A value of the right kind that the operation does not take.
        case value
        /// The template called `raise_exception`; the message is its own.
        case raised
        /// The template tried to change a value that it was given.
        case forbidden
        /// Rendering takes more steps, depth or bytes than its limits allow.
        case limit
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong.
    package let message: String
    /// Line of the template, counted from 1; 0 when not known.
    package internal(set) var line: Int

    /// Makes an error.
    package init(_ code: Code, _ message: String, line: Int = 0) {
        self.code = code
        self.message = message
        self.line = line
    }

    package var description: String {
        line > 0 ? "template line \(line): \(message)" : "template: \(message)"
    }
}
