// SPDX-License-Identifier: Apache-2.0
// Reading whole small files, and writing them so that a crash leaves the old or the new one.
import EftGGUF

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Files of a tokenizer.
enum FileAccess {
    /// Bytes of a file that are left out of a copy, and what is written instead.
    struct Edit: Sendable {
        let range: Range<Int>
        let text: [UInt8]
    }

    /// Larger files are no tokenizer's; in bytes.
    private static let maximumSize = 1 << 30

    /// Bytes that are read at once.
    private static let pieceSize = 1 << 18

    /// The bytes of a file, or nil when there is none.
    /// - Throws: `TokenizerError` (`unreadable`).
    static func read(_ path: String) throws(TokenizerError) -> [UInt8]? {
        var bytes: [UInt8] = []
        let size = try pieces(of: path) { (piece) throws(TokenizerError) in
            bytes += piece
        } begin: {
            bytes.reserveCapacity($0)
        }
        return size == nil ? nil : bytes
    }

    /// Hands out a file in pieces.
    /// - Parameters:
    ///   - body: receives each piece.
    ///   - begin: receives the size that the file has now.
    /// - Returns: the bytes that were read; nil when there is no such file.
    /// - Throws: `TokenizerError` (`unreadable`), and what `body` throws.
    private static func pieces(
        of path: String, _ body: (ArraySlice<UInt8>) throws(TokenizerError) -> Void,
        begin: (_ size: Int) -> Void = { _ in }
    ) throws(TokenizerError) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOTDIR, let document = try document(path) {
                begin(document.count)
                try body(document[...])
                return document.count
            }
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
        begin(Int(status.st_size))
        var buffer = [UInt8](repeating: 0, count: pieceSize)
        var total = 0
        while true {
            let count = buffer.withUnsafeMutableBytes {
                Self.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot be read", path) }
            if count == 0 { return total }
            total += count
            guard total <= maximumSize else {
                throw TokenizerError(.unreadable, "the file is larger than 1 GiB", file: path)
            }
            try body(buffer[..<count])
        }
    }

    /// A document of a GGUF file; nil for any other path.
    private static func document(_ path: String) throws(TokenizerError) -> [UInt8]? {
        do throws(GGUFError) { return try GGUFModel.document(path) } catch {
            let code: TokenizerError.Code =
                error.code == .unsupported
                ? .unsupported : error.code == .unreadable ? .unreadable : .malformed
            throw TokenizerError(code, error.message, file: error.path)
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

    /// Writes a file, beside its place first, and then renames it into place.
    /// - Throws: `TokenizerError` (`io`).
    static func write(_ bytes: [UInt8], to path: String) throws(TokenizerError) {
        _ = try replace(path) { (write) throws(TokenizerError) in
            try write(bytes[...])
            return bytes.count
        }
    }

    /// Copies a file in pieces, beside its place first, and then renames the copy into place.
    /// - Parameter edits: in ascending order.
    /// - Returns: false when there is no such file.
    /// - Throws: `TokenizerError` (`unreadable`, `io`).
    static func copy(
        _ source: String, to path: String, replacing edits: [Edit] = []
    ) throws(TokenizerError) -> Bool {
        try replace(path) { (write) throws(TokenizerError) in
            var position = 0
            return try pieces(of: source) { (piece) throws(TokenizerError) in
                let span = position..<position + piece.count
                position = span.upperBound
                func part(_ bytes: Range<Int>) -> ArraySlice<UInt8> {
                    let common = bytes.clamped(to: span)
                    let first = piece.startIndex - span.lowerBound
                    return piece[first + common.lowerBound..<first + common.upperBound]
                }
                var kept = 0
                for edit in edits {
                    try write(part(kept..<edit.range.lowerBound))
                    // The text stands where its first byte would: some byte always follows it in JSON.
                    if span.contains(edit.range.lowerBound) { try write(edit.text[...]) }
                    kept = edit.range.upperBound
                }
                try write(part(kept..<Int.max))
            }
        }
    }

    /// Writes a file beside its place, and renames it into place.
    /// - Parameter body: writes; nil when there is nothing to write after all.
    private static func replace(
        _ path: String,
        _ body: (_ write: (ArraySlice<UInt8>) throws(TokenizerError) -> Void)
            throws(TokenizerError) -> Int?
    ) throws(TokenizerError) -> Bool {
        let temporary = path + ".\(getpid()).tmp"
        var descriptor: Int32 = -1
        defer { if descriptor >= 0 { close(descriptor) } }
        do throws(TokenizerError) {
            let size = try body { (piece) throws(TokenizerError) in
                if descriptor < 0 { descriptor = try create(temporary) }
                try write(piece, to: descriptor, temporary)
            }
            guard size != nil else { return false }
            // An empty file has no pieces.
            if descriptor < 0 { descriptor = try create(temporary) }
            guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
                throw failure("cannot be written", path, .io)
            }
            return true
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private static func create(_ path: String) throws(TokenizerError) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure("cannot be created", path, .io) }
        return descriptor
    }

    private static func write(
        _ bytes: ArraySlice<UInt8>, to descriptor: Int32, _ path: String
    ) throws(TokenizerError) {
        var position = bytes.startIndex
        while position < bytes.endIndex {
            let count = bytes[position...].withUnsafeBytes { Self.write(descriptor, $0) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure("cannot be written", path, .io) }
            position += count
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
