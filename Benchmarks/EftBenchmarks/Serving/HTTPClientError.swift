// SPDX-License-Identifier: Apache-2.0
// What can go wrong between a client and a server.

/// A fault of a server, of the way to it, or of its address.
package struct HTTPClientError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// The address cannot be read or found.
        case address
        /// The connection was refused, broke off, or took too long.
        case connection
        /// The system has no socket left.
        case exhausted
        /// What came is no answer.
        case garbled
        /// The server answered with an error.
        case refused
    }

    /// The kind of fault.
    package let code: Code
    package let description: String

    /// Makes an error.
    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
