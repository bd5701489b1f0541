// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a tokenizer, or with text given to it.

import EftConfig

/// A fault in a tokenizer's files or in its use: what, where, and what to do.
package struct TokenizerError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// A file cannot be read.
        case unreadable
        /// A file cannot be written: no room, no permission, a failing disk.
        case io
        /// A file is not JSON, lacks a key, or holds a value of the wrong kind.
        case malformed
        /// The tokenizer uses a part that this program does not have.
        case unsupported
        /// A pattern cannot be compiled.
        case pattern
        /// Matching a pattern exceeded its limits.
        case matching
        /// The text cannot be encoded.
        case text
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file, when known.
    package let file: String?
    /// The path of keys to the faulty value, such as `model.merges[3]`; empty at the top.
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

    /// Makes an error of a fault in a JSON file.
    init(_ error: ConfigError) {
        self.init(
            error.code == .unreadable ? .unreadable : .malformed, error.message, file: error.file,
            keyPath: error.keyPath, line: error.line)
    }

    package var description: String {
        ConfigError.located(message, file: file, line: line, keyPath: keyPath)
    }
}
