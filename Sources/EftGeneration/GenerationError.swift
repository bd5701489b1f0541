// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a request for text.

/// A request that cannot be served: what is wrong, and what to do.
package struct GenerationError: Error, Sendable, CustomStringConvertible {
    /// What is wrong and what to do.
    package let message: String
    /// The setting at fault under its name in requests, such as `top_p`; nil when it is not one setting.
    package let parameter: String?

    /// Makes an error.
    package init(_ message: String, parameter: String? = nil) {
        self.message = message
        self.parameter = parameter
    }

    package var description: String { message }
}
