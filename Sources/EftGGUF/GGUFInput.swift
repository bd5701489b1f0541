// SPDX-License-Identifier: Apache-2.0
// Reading parts of a file by their place.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A regular file, open for reading.
final class GGUFInput: Sendable {
    /// Where the file was opened.
    let path: String
    /// Size in bytes.
    let byteCount: Int
    private let descriptor: Int32

    /// Opens a file.
    /// - Throws: `GGUFError` (`missing`, `unreadable`).
    init(path: String) throws(GGUFError) {
        // Without O_NONBLOCK a named pipe would wait for a writer for ever.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            let code: GGUFErrorCode = errno == ENOENT || errno == ENOTDIR ? .missing : .unreadable
            throw Self.fault(code, "cannot open the file", path)
        }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw GGUFError(.unreadable, "not a regular file", path: path)
        }
        self.path = path
        byteCount = Int(status.st_size)
        descriptor = file
    }

    deinit { close(descriptor) }

    /// Copies bytes from `offset` on into the whole of `target`.
    /// - Throws: `GGUFError` (`unreadable`, `damaged` when the file has become shorter).
    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(GGUFError) {
        guard let start = target.baseAddress else { return }
        var done = 0
        while done < target.count {
            let count = pread(descriptor, start + done, target.count - done, off_t(offset + done))
            if count > 0 {
                done += count
            } else if count == 0 {
                throw GGUFError(.damaged, "the file became shorter while in use", path: path)
            } else if errno != EINTR {
                throw Self.fault(.unreadable, "reading failed", path)
            }
        }
    }

    private static func fault(
        _ code: GGUFErrorCode, _ message: String, _ path: String
    ) -> GGUFError {
        GGUFError(code, "\(message): \(String(cString: strerror(errno)))", path: path)
    }
}
