// SPDX-License-Identifier: Apache-2.0
// Reading whole small files, and writing them so that a crash leaves the old or the new one.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Files of a tokenizer.
enum FileAccess {
    /// Larger files are no tokenizer's; in bytes.
    private static let maximumSize = 1 << 30

    /// The bytes of a file, or nil when there is none.
    /// - Throws: `TokenizerError` (`unreadable`).
    static func read(_ path: String) throws(TokenizerError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure("cannot be opened", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot be examined", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TokenizerError(.unreadable, "this is no ordinary file", file: path)
        }
        guard status.st_size <= maximumSize else {
            throw TokenizerError(.unreadable, "the file is larger than 1 GiB", file: path)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(status.st_size))
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = buffer.withUnsafeMutableBytes {
                Self.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot be read", path) }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            guard bytes.count <= maximumSize else {
                throw TokenizerError(.unreadable, "the file is larger than 1 GiB", file: path)
            }
        }
    }

    /// The names in a folder, sorted; none when there is no such folder.
    static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
                })
        }
        return names.sorted()
    }

    /// Writes a file beside its place and then renames it into place.
    /// - Throws: `TokenizerError` (`io`).
    static func write(_ bytes: [UInt8], to path: String) throws(TokenizerError) {
        let temporary = path + ".\(getpid()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure("cannot be created", temporary, .io) }
        var position = 0
        while position < bytes.count {
            let count = bytes.withUnsafeBytes {
                Self.write(descriptor, UnsafeRawBufferPointer(rebasing: $0[position...]))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let error = failure("cannot be written", temporary, .io)
                close(descriptor)
                unlink(temporary)
                throw error
            }
            position += count
        }
        let isSynced = fsync(descriptor) == 0
        guard close(descriptor) == 0, isSynced, rename(temporary, path) == 0 else {
            let error = failure("cannot be written", path, .io)
            unlink(temporary)
            throw error
        }
    }

    /// Whether two paths lead to the same folder.
    static func isSameFolder(_ first: String, _ second: String) -> Bool {
        var (one, two) = (stat(), stat())
        guard stat(first, &one) == 0, stat(second, &two) == 0 else { return false }
        return one.st_dev == two.st_dev && one.st_ino == two.st_ino
    }

    private static func read(
        _ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int
    ) -> Int {
        #if canImport(Glibc)
            Glibc.read(descriptor, buffer, count)
        #else
            Darwin.read(descriptor, buffer, count)
        #endif
    }

    private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #else
            Darwin.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
    }

    private static func failure(
        _ what: String, _ path: String, _ code: TokenizerError.Code = .unreadable
    ) -> TokenizerError {
        let reason = strerror(errno).map { String(cString: $0) } ?? "unknown error"
        return TokenizerError(code, "the file \(what): \(reason)", file: path)
    }
}
