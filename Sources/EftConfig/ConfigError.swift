// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a configuration file.

/// A fault in a configuration or JSON file: what, where, and what to do.
package typealias ConfigError = LocatedError<ConfigErrorCode>

/// The kind of fault of a `ConfigError`.
package enum ConfigErrorCode: Sendable, Hashable {
    case unreadable
    case syntax
    case duplicateKey
    case missingKey
    case wrongType
    case badValue
    /// The document is larger or deeper, or its aliases expand further, than is accepted.
    case tooLarge
}

/// Text from a file, made fit for a message: at most `limit` characters, control characters written
/// as escapes.
package func excerpt(_ text: String, limit: Int = 80) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        guard count < limit else { return result + "…" }
        let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        if isControl {
            result += "\\u{\(String(scalar.value, radix: 16))}"
        } else {
            result.unicodeScalars.append(scalar)
        }
        count += 1
    }
    return result
}
