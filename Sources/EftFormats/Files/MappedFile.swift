// SPDX-License-Identifier: Apache-2.0
// A file mapped read-only, with the hints that keep resident memory low while it is streamed.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// A regular file mapped read-only for as long as the object lives.
///
/// Small reads go through the map; `read(at:into:)` copies through the descriptor instead, so that a streaming reader
/// leaves no mapped pages behind. A file that is shortened by somebody else while it is mapped is not defended against.
package final class MappedFile: Sendable {
    /// Where the file was opened.
    package let path: String
    /// Size in bytes.
    package let byteCount: Int
    private let descriptor: Int32
    // Written once here, and the mapping is read-only.
    nonisolated(unsafe) private let base: UnsafeRawPointer?

    /// Maps a file.
    /// - Throws: `FormatError` (`missing`, `unreadable`).
    package init(path: String) throws(FormatError) {
        // Without O_NONBLOCK a named pipe would wait for a writer for ever.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            let code: FormatError.Code =
                errno == ENOENT || errno == ENOTDIR ? .missing : .unreadable
            throw .system(code, "cannot open the file", path: path, errno: errno)
        }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw FormatError(.unreadable, "not a regular file", path: path)
        }
        let size = Int(status.st_size)
        var start: UnsafeRawPointer?
        if size > 0 {
            let pointer = mmap(nil, size, PROT_READ, MAP_SHARED, file, 0)
            guard let pointer, pointer != MAP_FAILED else {
                let number = errno
                close(file)
                throw .system(.unreadable, "cannot map the file", path: path, errno: number)
            }
            start = UnsafeRawPointer(pointer)
        }
        self.path = path
        byteCount = size
        descriptor = file
        base = start
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
        close(descriptor)
    }

    /// Whether `range` lies in the file.
    package func contains(_ range: Range<Int>) -> Bool {
        range.lowerBound >= 0 && range.upperBound <= byteCount
    }

    /// Gives `body` a view of a part of the file, valid only during the call; not aligned to anything.
    package func withBytes<R, E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(contains(range), "bytes \(range) of a file of \(byteCount)")
        return try body(slice(range))
    }

    /// A view of a part of the file, valid while this object lives; not aligned to anything.
    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(contains(range), "bytes \(range) of a file of \(byteCount)")
        guard let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// Copies bytes from `offset` on into the whole of `target`, past the map.
    /// - Throws: `FormatError` (`unreadable`, `damaged` when the file has become shorter).
    package func read(
        at offset: Int, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        precondition(
            offset >= 0 && target.count <= byteCount - offset,
            "\(target.count) bytes at \(offset) of a file of \(byteCount)")
        guard let start = target.baseAddress else { return }
        var done = 0
        while done < target.count {
            let count = pread(descriptor, start + done, target.count - done, off_t(offset + done))
            if count > 0 {
                done += count
            } else if count == 0 {
                throw FormatError(.damaged, "the file became shorter while in use", path: path)
            } else if errno != EINTR {
                throw .system(.unreadable, "reading failed", path: path, errno: errno)
            }
        }
    }

    // MARK: Hints

    /// Tells the system that a part will be read once, in order.
    package func adviseSequential(_ range: Range<Int>? = nil) {
        advise(range ?? 0..<byteCount, MADV_SEQUENTIAL)
    }

    /// Asks the system to begin reading a part.
    package func adviseWillNeed(_ range: Range<Int>) { advise(range, MADV_WILLNEED) }

    /// Gives the resident pages of a part back; a later access reads them again.
    package func release(_ range: Range<Int>) { advise(range, MADV_DONTNEED) }

    private func advise(_ range: Range<Int>, _ advice: Int32) {
        let range = range.clamped(to: 0..<byteCount)
        guard let base, !range.isEmpty else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = range.lowerBound / page * page
        // A hint that fails costs memory or time, never correctness.
        _ = madvise(
            UnsafeMutableRawPointer(mutating: base + first), range.upperBound - first, advice)
    }
}

extension MappedFile {
    /// Reads the file from its first byte to its last, a piece at a time that stays until the next.
    /// - Throws: `FormatError`, and what `body` throws.
    package func forEachPiece(
        _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
    ) throws(FormatError) {
        var buffer = [UInt8](repeating: 0, count: min(max(byteCount, 1), 1 << 20))
        var offset = 0
        while offset < byteCount {
            let count = min(buffer.count, byteCount - offset)
            try buffer.withMutableRawBytes { (bytes) throws(FormatError) in
                let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
                try read(at: offset, into: piece)
                try body(UnsafeRawBufferPointer(piece))
            }
            offset += count
        }
    }
}
