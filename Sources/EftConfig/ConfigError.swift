// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a configuration file.

/// A fault in a configuration or JSON file: what, where, and what to do.
package struct ConfigError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        case unreadable
        case syntax
        case duplicateKey
        case missingKey
        case wrongType
        case badValue
        /// The document is larger or deeper, or its aliases expand further, than is accepted.
        case tooLarge
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file, when known.
    package var file: String?
    /// The path of keys to the faulty value, such as `datasets[0].path`; empty at the top.
    package let keyPath: String
    /// Line in the file, counted from 1, when known.
    package let line: Int?

    /// Makes an error.
    package init(
        _ code: Code, _ message: String, file: String? = nil, keyPath: String = "", line: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.file = file
        self.keyPath = keyPath
        self.line = line
    }

    package var description: String {
        ConfigError.located(message, file: file, line: line, keyPath: excerpt(keyPath))
    }

    /// A message behind the file, line and keys that it is about, for errors of the layers above too.
    package static func located(
        _ message: String, file: String?, line: Int?, keyPath: String
    ) -> String {
        var place = file ?? ""
        if let line { place += place.isEmpty ? "line \(line)" : ":\(line)" }
        if !keyPath.isEmpty { place += place.isEmpty ? keyPath : " (\(keyPath))" }
        return place.isEmpty ? message : "\(place): \(message)"
    }
}

/// Text from a file, made fit for a message: at most `limit` characters, control characters spelled
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
