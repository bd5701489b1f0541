// SPDX-License-Identifier: Apache-2.0
// A file read past the page cache, in large aligned pieces.
import CURing
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A regular file that is read past the page cache where its file system can do that, and otherwise through it, with
/// the pages given back after each piece. Safe to use from any thread.
package final class DirectFile: Sendable {
    /// Offsets, sizes and addresses of reads are multiples of this.
    package static let alignment = 4096
    /// Bytes asked of the system at a time; between two pieces a reader can be stopped.
    private static let piece = 16 << 20
    #if arch(arm64) || arch(arm)
        static let directFlag: Int32 = 0o200000
    #else
        static let directFlag: Int32 = 0o40000
    #endif

    /// Where the file was opened.
    package let path: String
    /// Size in bytes when it was opened.
    package let byteCount: Int
    private let descriptor: Int32
    /// Reads through the page cache; -1 for none.
    private let cached: Int32
    private let direct: Atomic<Bool>

    /// Opens a file.
    /// - Parameter direct: whether to try reading past the page cache.
    /// - Throws: `FormatError` (`missing`, `unreadable`).
    package init(path: String, direct: Bool = true) throws(FormatError) {
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK
        var file = direct ? open(path, flags | DirectFile.directFlag) : -1
        let isDirect = file >= 0
        if file < 0 { file = open(path, flags) }
        guard file >= 0 else {
            let code: FormatError.Code = errno == ENOENT ? .missing : .unreadable
            throw .system(code, "cannot open the file", path: path, errno: errno)
        }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw FormatError(.unreadable, "not a regular file", path: path)
        }
        self.path = path
        byteCount = Int(status.st_size)
        descriptor = file
        cached = isDirect ? open(path, flags) : -1
        self.direct = Atomic(isDirect)
    }

    deinit {
        close(descriptor)
        if cached >= 0 { close(cached) }
    }

    /// Whether reads still go past the page cache.
    package var isDirect: Bool { direct.load(ordering: .relaxed) }

    /// Copies what the page cache holds already, which the disk is not asked for then.
    /// - Returns: whether all of the `needed` bytes were there; if not, `target` may hold anything.
    package func readCached(
        at offset: Int, into target: UnsafeMutableRawBufferPointer, needed: Int
    ) -> Bool {
        guard cached >= 0, isDirect, let start = target.baseAddress else { return false }
        return eft_read_cached(cached, start, UInt64(target.count), UInt64(max(offset, 0)))
            >= Int64(needed)
    }

    /// Reads the whole of `target` from `offset` on; offset, size and address are multiples of `alignment`.
    /// - Parameters:
    ///   - needed: bytes that must come, all when nil; a file that ends behind them is no fault.
    ///   - ring: of the reading thread, which keeps several reads in flight past the page cache; none when nil.
    ///   - shouldStop: asked between pieces; when it says yes, the rest is left unread.
    /// - Returns: whether all was read.
    /// - Throws: `FormatError` (`unreadable`, `damaged` when the file is too short).
    @discardableResult
    package func read(
        at offset: Int, into target: UnsafeMutableRawBufferPointer, needed: Int? = nil,
        ring: ReadRing? = nil,
        shouldStop: () -> Bool = { false }
    ) throws(FormatError) -> Bool {
        guard let start = target.baseAddress else { return true }
        let needed = needed ?? target.count
        precondition(
            offset % DirectFile.alignment == 0 && target.count % DirectFile.alignment == 0
                && Int(bitPattern: start) % DirectFile.alignment == 0, "an unaligned direct read")
        var done = 0
        if let ring, isDirect {
            done = ring.read(descriptor, at: offset, into: target, shouldStop: shouldStop)
            if done < needed, done % DirectFile.alignment != 0 { leaveDirectMode() }
        }
        while done < needed {
            if shouldStop() { return false }
            let wanted = min(target.count - done, DirectFile.piece)
            let count = pread(descriptor, start + done, wanted, off_t(offset + done))
            if count == 0 {
                throw FormatError(
                    .damaged,
                    "the file ends at \(offset + done), \(needed - done) bytes early",
                    path: path)
            } else if count > 0 {
                done += count
                if !isDirect { dropPages(upTo: done < needed ? offset + done : 0) }
                // A direct read that ends off the grid has met the end of the file, or cannot go on from here.
                if done < needed, done % DirectFile.alignment != 0, isDirect { leaveDirectMode() }
            } else if errno == EINVAL, isDirect {
                leaveDirectMode()
            } else if errno != EINTR {
                throw .system(.unreadable, "reading failed", path: path, errno: errno)
            }
        }
        return true
    }

    /// Gives pages in memory back from the beginning on, because pages that lie in one piece go only together; all
    /// when `end` is 0. Advice that is not followed costs page cache, never correctness.
    private func dropPages(upTo end: Int) {
        _ = posix_fadvise(descriptor, 0, off_t(end), POSIX_FADV_DONTNEED)
    }

    private func leaveDirectMode() {
        let flags = fcntl(descriptor, F_GETFL)
        if flags >= 0 { _ = fcntl(descriptor, F_SETFL, flags & ~DirectFile.directFlag) }
        direct.store(false, ordering: .relaxed)
    }
}
