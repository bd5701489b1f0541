// SPDX-License-Identifier: Apache-2.0
// A temporary file for numbers that memory has no room for.
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A file without a name that vanishes with the program, whatever ends it. Safe to use from any thread as long as no
/// two touch the same bytes.
///
/// It is read and written past the page cache where its file system can do that, unless it is asked for through it.
package final class SpillFile: Sendable {
    /// Offsets, sizes and addresses are multiples of this.
    package static let alignment = DirectFile.alignment
    private let descriptor: Int32
    private let folder: String
    private static let made = Atomic(0)

    /// Makes a file of `byteCount` bytes in a folder; all of its room on the disk is taken at once.
    /// - Parameter cached: through the page cache: bytes that are soon read again, of any offset and size.
    /// - Throws: `FormatError` (`io`) when the folder's disk has no room for it.
    package init(folder: String, byteCount: Int, cached: Bool = false) throws(FormatError) {
        self.folder = folder
        let number = SpillFile.made.add(1, ordering: .relaxed).newValue
        let path = FileSystem.join(folder, ".eft-spill-\(getpid())-\(number)")
        let flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC
        var opened = open(path, cached ? flags : flags | DirectFile.directFlag, 0o600)
        if opened < 0, errno == EINVAL {
            // The file system cannot go past the page cache, but has made the file.
            unlink(path)
            opened = open(path, flags, 0o600)
        }
        guard opened >= 0 else {
            throw .system(.io, "cannot make a temporary file", path: folder, errno: errno)
        }
        unlink(path)
        descriptor = opened
        let status = posix_fallocate(opened, 0, off_t(byteCount))
        guard status == 0 || status == EOPNOTSUPP || status == EINVAL else {
            close(opened)
            throw .system(
                .io, "no room for \(byteCount) bytes of temporary data", path: folder,
                errno: status)
        }
    }

    deinit { close(descriptor) }

    /// Writes all of `bytes` at `offset`.
    /// - Throws: `FormatError` (`io`).
    package func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(FormatError) {
        try transfer(bytes.count, "writing") { done in
            pwrite(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done,
                off_t(offset + done))
        }
    }

    /// Reads all of `bytes` from `offset` on.
    /// - Throws: `FormatError` (`io`).
    package func read(
        at offset: Int, into bytes: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try transfer(bytes.count, "reading") { done in
            pread(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done,
                off_t(offset + done))
        }
    }

    private func transfer(
        _ byteCount: Int, _ verb: String, _ piece: (_ done: Int) -> Int
    ) throws(FormatError) {
        var done = 0
        while done < byteCount {
            let count = piece(done)
            if count > 0 {
                done += count
            } else if count == 0 {
                throw FormatError(.io, "\(verb) temporary data ended early", path: folder)
            } else if errno == EINVAL, leaveDirectMode() {
                continue
            } else if errno != EINTR {
                throw .system(.io, "\(verb) temporary data failed", path: folder, errno: errno)
            }
        }
    }

    /// Goes on through the page cache; false when that is done already.
    private func leaveDirectMode() -> Bool {
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, flags & DirectFile.directFlag != 0 else { return false }
        return fcntl(descriptor, F_SETFL, flags & ~DirectFile.directFlag) == 0
    }
}
