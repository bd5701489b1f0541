// SPDX-License-Identifier: Apache-2.0
// The few operations on files and folders that checkpoints need.
import EftGGUF

#if canImport(Glibc)
    import Glibc
#endif

/// Files and folders by path.
///
/// A GGUF file is a folder here, with the documents that it stands for (`GGUFModel`).
package enum FileSystem {
    // MARK: Paths

    /// `name` inside `folder`.
    package static func join(_ folder: String, _ name: String) -> String {
        if folder.isEmpty || folder == "." { return name }
        return folder.hasSuffix("/") ? folder + name : folder + "/" + name
    }

    /// The folder part of a path; "." when there is none.
    package static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last part of a path.
    package static func name(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }

    // MARK: Questions

    /// Whether something is there.
    package static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0 || GGUFModel.hasDocument(path)
    }

    /// Whether a folder is there, or a GGUF file.
    package static func isFolder(_ path: String) -> Bool {
        isDirectory(path) || GGUFModel.isOne(path)
    }

    /// Whether a folder of the system is there, in which files can be made.
    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The file that holds what a path names: the GGUF file for one of its documents.
    private static func file(_ path: String) -> String { GGUFModel.split(path)?.file ?? path }

    /// Size of a file in bytes, or nil when it is not there.
    package static func byteCount(_ path: String) -> Int? {
        var status = stat()
        return stat(file(path), &status) == 0 ? Int(status.st_size) : nil
    }

    /// Size of a file in bytes and when it was changed, in seconds and nanoseconds; nil when it is not there.
    package static func status(
        _ path: String
    ) -> (byteCount: Int, seconds: Int, nanoseconds: Int)? {
        var status = stat()
        guard stat(file(path), &status) == 0 else { return nil }
        #if canImport(Glibc)
            let time = status.st_mtim
        #else
            let time = status.st_mtimespec
        #endif
        return (Int(status.st_size), time.tv_sec, time.tv_nsec)
    }

    /// When a file was last changed, in nanoseconds since 1970 (wrapping), or nil when it is not there.
    package static func modified(_ path: String) -> Int? {
        status(path).map { $0.seconds &* 1_000_000_000 &+ $0.nanoseconds }
    }

    /// The path from the root, links followed; the path itself when it is not there.
    package static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Names in a folder, sorted by their bytes, without "." and "..".
    /// - Throws: `FormatError` (`missing`, `unreadable`).
    package static func list(_ folder: String) throws(FormatError) -> [String] {
        if GGUFModel.isOne(folder) {
            do throws(GGUFError) { return try GGUFModel.open(folder).names } catch {
                throw FormatError(error)
            }
        }
        guard let stream = opendir(folder) else {
            let code: FormatError.Code = errno == ENOENT ? .missing : .unreadable
            throw .system(code, "cannot list the folder", path: folder, errno: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Bytes that an ordinary user can still write where `folder` lies, or nil when that is not known.
    package static func freeBytes(_ folder: String) -> Int? {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
            by: Int(clamping: status.f_frsize))
        return overflow ? .max : bytes
    }

    /// Asks the system to forget what it keeps of a file in memory; pages that somebody maps or has not written stay.
    package static func dropCachedPages(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    // MARK: Changes

    /// Makes a folder and the folders above it; one that is there already is fine.
    /// - Throws: `FormatError` (`io`).
    package static func createFolder(_ path: String) throws(FormatError) {
        if path.isEmpty || isDirectory(path) { return }
        let parent = folder(of: path)
        if parent != path && parent != "." { try createFolder(parent) }
        guard mkdir(path, 0o755) == 0 || (errno == EEXIST && isDirectory(path)) else {
            throw .system(.io, "cannot create the folder", path: path, errno: errno)
        }
    }

    /// Copies a file, aside first, so that a half-made copy is never taken for whole.
    /// - Throws: `FormatError`.
    package static func copy(_ source: String, to target: String) throws(FormatError) {
        if let bytes = try document(source) { return try AtomicFile.write(target, bytes) }
        let input = try MappedFile(path: source)
        let output = try OutputFile(path: target)
        try input.forEachPiece { (piece) throws(FormatError) in try output.write(piece) }
        try output.publish()
    }

    /// Gives a file another name on the same disk, replacing what stands there.
    ///
    /// A later `syncFolder` of both folders makes it last.
    /// - Throws: `FormatError` (`io`).
    package static func move(_ source: String, to target: String) throws(FormatError) {
        guard rename(source, target) == 0 else {
            throw .system(.io, "cannot move the file to \(target)", path: source, errno: errno)
        }
    }

    /// Removes a file; one that is not there is fine.
    /// - Throws: `FormatError` (`io`).
    package static func remove(_ path: String) throws(FormatError) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .system(.io, "cannot remove the file", path: path, errno: errno)
        }
    }

    /// Removes a folder of plain files, those of `first` before all others; one that is not there is fine.
    /// - Throws: `FormatError` (`io`), also when the folder holds other folders.
    package static func removeFolder(
        _ path: String, first: [String] = []
    ) throws(FormatError) {
        guard isDirectory(path) else { return }
        for name in first { try remove(join(path, name)) }
        for name in try list(path) { try remove(join(path, name)) }
        guard rmdir(path) == 0 else {
            throw .system(.io, "cannot remove the folder", path: path, errno: errno)
        }
    }

    /// The whole of a small file.
    /// - Throws: `FormatError`; `unsupported` when it is larger than `limit` bytes.
    package static func read(
        _ path: String, limit: Int = 1 << 28
    ) throws(FormatError) -> [UInt8] {
        if let bytes = try document(path) { return bytes }
        let file = try MappedFile(path: path)
        guard file.byteCount <= limit else {
            throw FormatError(
                .unsupported, "\(file.byteCount) bytes are more than such a file may have",
                path: path)
        }
        var bytes = [UInt8](repeating: 0, count: file.byteCount)
        try bytes.withMutableRawBytes { (buffer) throws(FormatError) in
            try file.read(at: 0, into: buffer)
        }
        return bytes
    }

    /// A document of a GGUF file; nil for any other path.
    private static func document(_ path: String) throws(FormatError) -> [UInt8]? {
        do throws(GGUFError) { return try GGUFModel.document(path) } catch {
            throw FormatError(error)
        }
    }

    /// Brings a folder's entries onto the disk, so that a rename survives a power cut.
    /// - Throws: `FormatError` (`io`).
    package static func syncFolder(_ path: String) throws(FormatError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw .system(.io, "cannot open the folder", path: path, errno: errno)
        }
        defer { close(descriptor) }
        // Some file systems cannot sync a folder; then the rename is as safe as they make it.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw .system(.io, "cannot bring the folder onto the disk", path: path, errno: errno)
        }
    }
}
