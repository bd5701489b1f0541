// SPDX-License-Identifier: Apache-2.0
// One process at a time at a blob, as huggingface_hub's file locks have it.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// Holds the lock of a blob until the object goes away or the process ends, however it ends.
final class BlobLock: Sendable {
    private let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Waits for the lock.
    /// - Parameter shouldStop: asked ten times a second.
    /// - Throws: `HubError` (`io`, `stopped`).
    static func take(_ path: String, shouldStop: () -> Bool) throws(HubError) -> BlobLock {
        try withFiles { () throws(FormatError) in
            try FileSystem.createFolder(FileSystem.folder(of: path))
        }
        while true {
            let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard file >= 0 else {
                throw HubError(.system(.io, "cannot make the lock", path: path, errno: errno))
            }
            if flock(file, LOCK_EX | LOCK_NB) == 0 {
                var (opened, named) = (stat(), stat())
                // Other tools remove the file when they are done: then the lock is of a file that nobody else finds.
                if fstat(file, &opened) == 0, stat(path, &named) == 0,
                    opened.st_ino == named.st_ino
                {
                    return BlobLock(file)
                }
                close(file)
                continue
            }
            let error = errno
            close(file)
            guard error == EWOULDBLOCK || error == EINTR else {
                throw HubError(.system(.io, "cannot take the lock", path: path, errno: error))
            }
            guard !shouldStop() else {
                throw HubError(.stopped, "stopped while waiting for \(path)")
            }
            usleep(100_000)
        }
    }
}
