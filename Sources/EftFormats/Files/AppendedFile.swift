// SPDX-License-Identifier: Apache-2.0
// A file that grows by whole pieces while others may read it.
#if canImport(Glibc)
    import Glibc
#endif

/// A log: what is appended stands in the file at once.
package final class AppendedFile {
    /// The file.
    package let path: String
    private let descriptor: Int32

    /// Opens a file to write behind what it holds; one that is not there begins empty.
    /// - Throws: `FormatError` (`io`).
    package init(_ path: String) throws(FormatError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw .system(.io, "cannot write the file", path: path, errno: errno)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Appends bytes.
    /// - Throws: `FormatError` (`io`), for instance when the disk is full.
    package func append(_ bytes: [UInt8]) throws(FormatError) {
        try bytes.withRawBytes { (buffer) throws(FormatError) in
            try OutputFile.write(buffer, to: descriptor, path: path)
        }
    }
}
