// SPDX-License-Identifier: Apache-2.0
// Reading bytes of a file piece by piece, with errors that name it.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// An open file that is read from front to back.
struct InputFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    /// Opens a file; a directory is refused.
    /// - Throws: `ConfigError` (`unreadable`).
    init(_ path: String) throws(ConfigError) {
        guard !path.utf8.contains(0) else {
            throw ConfigError(.unreadable, "the file's name holds a zero byte", file: path)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.fault("cannot open the file", path, errno) }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            close(descriptor)
            throw ConfigError(.unreadable, "this is a folder; a file is expected", file: path)
        }
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    /// The size that the system reports; 0 for pipes and the like.
    var reportedSize: Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(clamping: status.st_size) : 0
    }

    /// Appends up to `count` bytes to `bytes`.
    /// - Returns: how many were read; 0 at the end of the file.
    /// - Throws: `ConfigError` (`unreadable`).
    func read(_ count: Int, into bytes: inout [UInt8]) throws(ConfigError) -> Int {
        var fault: Int32 = 0
        let piece = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var result: Int
            repeat {
                result = systemRead(descriptor, buffer.baseAddress, count)
                fault = result < 0 ? errno : 0
            } while fault == EINTR
            initialized = max(result, 0)
        }
        guard fault == 0 else { throw Self.fault("cannot read the file", path, fault) }
        bytes.append(contentsOf: piece)
        return piece.count
    }

    private static func fault(_ what: String, _ path: String, _ code: Int32) -> ConfigError {
        ConfigError(.unreadable, "\(what): \(String(cString: strerror(code)))", file: path)
    }
}

/// The system call, under a name that a method called `read` does not hide.
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int)
    -> Int
{
    read(descriptor, buffer, count)
}
