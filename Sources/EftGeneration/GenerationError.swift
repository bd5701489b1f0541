// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a request for text.

/// A request that cannot be served: what is wrong, and what to do.
package struct GenerationError: Error, Sendable, CustomStringConvertible {
    /// What is wrong and what to do.
    package let message: String

    /// Makes an error.
    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
