// SPDX-License-Identifier: Apache-2.0
// Bytes that come one after the other, whatever they are kept in.

/// Bytes read from front to back: those of a file, or those that a compressed file stands for.
package protocol ByteSource: AnyObject {
    /// Appends up to `count` bytes to `bytes`.
    /// - Returns: how many were read; 0 at the end.
    /// - Throws: `ConfigError` (`unreadable`).
    func read(_ count: Int, into bytes: inout [UInt8]) throws(ConfigError) -> Int
}

/// The bytes of a file as they are.
package final class FileSource: ByteSource {
    private let file: InputFile

    /// Opens a file; a directory is refused.
    /// - Throws: `ConfigError` (`unreadable`).
    package init(_ path: String) throws(ConfigError) { file = try InputFile(path) }

    package func read(_ count: Int, into bytes: inout [UInt8]) throws(ConfigError) -> Int {
        try file.read(count, into: &bytes)
    }
}
