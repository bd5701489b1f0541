// SPDX-License-Identifier: Apache-2.0
// A folder of its own for each test, removed when the test is done with it.
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// A new empty folder that is removed with all it holds when the object goes away.
package final class TemporaryFolder: Sendable {
    /// The folder.
    package let path: String

    /// Makes a folder below the system's folder for temporary files.
    package init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array(FileSystem.join(base, "eft-test-XXXXXX").utf8CString)
        guard let made = mkdtemp(&template) else {
            throw FormatError(.io, "cannot make a temporary folder", path: base)
        }
        path = String(cString: made)
    }

    deinit { TemporaryFolder.removeAll(path) }

    /// The path of `name` in the folder.
    package func file(_ name: String) -> String { FileSystem.join(path, name) }

    /// Writes a file into the folder.
    /// - Returns: its path.
    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try AtomicFile.write(file(name), bytes)
        return file(name)
    }

    /// Writes a text file into the folder.
    /// - Returns: its path.
    @discardableResult
    package func write(_ name: String, _ text: String) throws -> String {
        try write(name, Array(text.utf8))
    }

    private static func removeAll(_ path: String) {
        for name in (try? FileSystem.list(path)) ?? [] {
            let child = FileSystem.join(path, name)
            if FileSystem.isFolder(child) { removeAll(child) } else { unlink(child) }
        }
        rmdir(path)
    }
}
