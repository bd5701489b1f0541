// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a tokenizer, or with text given to it.
import EftConfig

/// A fault in a tokenizer's files or in its use: what, where, and what to do.
package typealias TokenizerError = LocatedError<TokenizerErrorCode>

/// The kind of fault of a `TokenizerError`.
package enum TokenizerErrorCode: Sendable, Hashable {
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

extension TokenizerError {
    /// Makes an error of a fault in a JSON file.
    init(_ error: ConfigError) {
        self.init(
            error.code == .unreadable ? .unreadable : .malformed, error.message, file: error.file,
            keyPath: error.keyPath, line: error.line)
    }
}
