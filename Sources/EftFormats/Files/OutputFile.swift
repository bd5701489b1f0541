// SPDX-License-Identifier: Apache-2.0
// A file that is written aside and takes its name only when it is whole and on the disk.
#if canImport(Glibc)
    import Glibc
#endif

/// A file under construction: written as `<path>.partial`, synced, then renamed; removed when abandoned.
package final class OutputFile {
    /// The name that the file takes in the end.
    package let path: String
    /// Bytes written so far.
    package private(set) var byteCount = 0
    private let partialPath: String
    private let descriptor: Int32
    private var isSealed = false
    /// Whether the partial file is this object's to remove.
    private var ownsPartial = false

    /// What is put behind the name of a file that is not whole yet.
    package static let partialSuffix = ".partial"

    /// Begins a file; its folder must be there.
    /// - Throws: `FormatError` (`io`), also when another process is writing the same file.
    package init(path: String) throws(FormatError) {
        self.path = path
        partialPath = path + OutputFile.partialSuffix
        descriptor = open(partialPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw .system(.io, "cannot create the file", path: path, errno: errno)
        }
        // The lock is held until the rename; the second look tells whether another writer renamed in between.
        var opened = stat()
        var named = stat()
        guard fstat(descriptor, &opened) == 0 else {
            throw .system(.io, "cannot look at the file", path: path, errno: errno)
        }
        // A device stands for no file of ours: whoever else writes to it does no harm.
        let isFile = opened.st_mode & S_IFMT == S_IFREG
        guard !isFile || flock(descriptor, LOCK_EX | LOCK_NB) == 0,
            stat(partialPath, &named) == 0, opened.st_ino == named.st_ino
        else {
            throw FormatError(.io, "another process is writing this file", path: path)
        }
        ownsPartial = true
        guard opened.st_size == 0 || ftruncate(descriptor, 0) == 0 else {
            throw .system(.io, "cannot empty the partial file", path: path, errno: errno)
        }
    }

    deinit {
        if ownsPartial { unlink(partialPath) }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Appends bytes.
    /// - Throws: `FormatError` (`io`), for instance when the disk is full.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        precondition(!isSealed, "writing to a sealed file")
        try OutputFile.write(bytes, to: descriptor, path: path)
        byteCount += bytes.count
    }

    /// Appends bytes.
    package func write(_ bytes: [UInt8]) throws(FormatError) {
        try bytes.withRawBytes { (buffer) throws(FormatError) in try write(buffer) }
    }

    /// Brings what was written so far onto the disk and gives its pages in memory back.
    /// - Throws: `FormatError` (`io`).
    package func flush() throws(FormatError) {
        guard fsync(descriptor) == 0 else {
            throw .system(.io, "cannot bring the file onto the disk", path: path, errno: errno)
        }
        // Advice that is not followed costs page cache, never correctness.
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    /// Brings everything onto the disk; nothing can be written after it, and the name is still the partial one.
    /// - Throws: `FormatError` (`io`).
    package func seal() throws(FormatError) {
        if isSealed { return }
        guard fsync(descriptor) == 0 else {
            throw .system(.io, "cannot bring the file onto the disk", path: path, errno: errno)
        }
        isSealed = true
    }

    /// Seals the file if need be and gives it its name, replacing what stood there.
    /// - Throws: `FormatError` (`io`).
    package func publish() throws(FormatError) {
        try seal()
        guard rename(partialPath, path) == 0 else {
            throw .system(.io, "cannot rename the finished file", path: path, errno: errno)
        }
        ownsPartial = false
        try FileSystem.syncFolder(FileSystem.folder(of: path))
    }

    /// Writes all of `bytes` to a descriptor.
    static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String
    ) throws(FormatError) {
        guard let start = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            #if canImport(Glibc)
                let count = Glibc.write(descriptor, start + done, bytes.count - done)
            #else
                let count = Darwin.write(descriptor, start + done, bytes.count - done)
            #endif
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw .system(.io, "writing failed", path: path, errno: errno)
            }
        }
    }
}

/// Whole small files, written so that a crash leaves the old content or the new one.
package enum AtomicFile {
    /// Replaces the content of a file.
    /// - Throws: `FormatError` (`io`).
    package static func write(_ path: String, _ bytes: [UInt8]) throws(FormatError) {
        let file = try OutputFile(path: path)
        try file.write(bytes)
        try file.publish()
    }

    /// Replaces the content of a file with UTF-8 text.
    /// - Throws: `FormatError` (`io`).
    package static func write(_ path: String, _ text: String) throws(FormatError) {
        try write(path, Array(text.utf8))
    }
}
