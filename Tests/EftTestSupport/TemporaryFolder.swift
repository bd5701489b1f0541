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
    /// - Parameter name: a part of the folder's name, for people who read its path.
    package init(_ name: String = "") throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let part = name.isEmpty ? "" : name + "-"
        var template = Array(FileSystem.join(base, "eft-test-\(part)XXXXXX").utf8CString)
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
            // A link to a folder is a file here.
            if unlink(child) != 0 { removeAll(child) }
        }
        rmdir(path)
    }
}

/// The content of a file; failed comparisons show its size alone.
package struct FileImage: Hashable, CustomStringConvertible {
    /// All bytes.
    package let bytes: [UInt8]

    package var description: String { "\(bytes.count) bytes" }
}

extension TemporaryFolder {
    /// All files below a path in the folder, by their paths from there, with their bytes.
    package func tree(_ name: String) throws -> [String: FileImage] {
        var files: [String: FileImage] = [:]
        for child in try FileSystem.list(file(name)) {
            let path = FileSystem.join(name, child)
            if FileSystem.isFolder(file(path)) {
                // The folder itself counts, so that an empty one is seen.
                files[child + "/"] = FileImage(bytes: [])
                for (below, bytes) in try tree(path) {
                    files[FileSystem.join(child, below)] = bytes
                }
            } else {
                files[child] = FileImage(bytes: try FileSystem.read(file(path)))
            }
        }
        return files
    }

    /// Copies all files below a path in the folder to another, as a crash would leave them.
    package func copyTree(_ name: String, to target: String) throws {
        try FileSystem.createFolder(file(target))
        for (path, image) in try tree(name).sorted(by: { $0.key < $1.key }) {
            let place = FileSystem.join(target, path)
            if path.hasSuffix("/") {
                try FileSystem.createFolder(file(String(place.dropLast())))
            } else {
                _ = try plainWrite(place, image.bytes)
            }
        }
    }
}

extension TemporaryFolder {
    /// Makes the folders above a path in the folder.
    package func makeFolder(for name: String) throws {
        try FileSystem.createFolder(FileSystem.folder(of: file(name)))
    }
}
