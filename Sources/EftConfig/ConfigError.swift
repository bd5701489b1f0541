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
        var place = file ?? ""
        if let line { place += place.isEmpty ? "line \(line)" : ":\(line)" }
        if !keyPath.isEmpty { place += place.isEmpty ? keyPath : " (\(keyPath))" }
        return place.isEmpty ? message : "\(place): \(message)"
    }
}
