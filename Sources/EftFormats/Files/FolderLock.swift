// SPDX-License-Identifier: Apache-2.0
// One process at a time in a folder.
#if canImport(Glibc)
    import Glibc
#endif

/// Holds a folder for one process, until the object goes away or the process ends, however it ends.
package final class FolderLock {
    private let descriptor: Int32

    /// Takes the lock of a folder that is there.
    /// - Throws: `FormatError` (`io`), also when another process holds it.
    package init(_ path: String) throws(FormatError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            throw .system(.io, "cannot open the folder", path: path, errno: errno)
        }
        var opened = stat()
        var named = stat()
        // The second look tells whether the holder removed the folder in between.
        guard flock(folder, LOCK_EX | LOCK_NB) == 0, fstat(folder, &opened) == 0,
            stat(path, &named) == 0, opened.st_ino == named.st_ino
        else {
            close(folder)
            throw FormatError(
                .io, "another process is writing here; wait until it is done", path: path)
        }
        descriptor = folder
    }

    deinit { close(descriptor) }
}
