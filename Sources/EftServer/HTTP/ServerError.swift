// SPDX-License-Identifier: Apache-2.0
// Why a server does not start.

/// A failure to start: what, and what to do.
package struct ServerError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure.
    package enum Code: Sendable, Hashable {
        case address
        case certificate
        case accessLog
        case start
    }

    /// The kind of failure.
    package let code: Code
    /// What happened and what to do.
    package let message: String

    /// Makes an error.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
