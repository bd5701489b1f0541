// SPDX-License-Identifier: Apache-2.0
// What the system keeps of files in memory.
import EftFormats
import EftTestSupport

#if canImport(Glibc)
    import Glibc
#endif

enum PageCache {
    /// Pages of a file that stand in memory.
    static func residentPages(_ path: String) throws -> Int {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw FormatError(.missing, "not there", path: path) }
        defer { close(file) }
        let size = FileSystem.byteCount(path) ?? 0
        let address = mmap(nil, size, PROT_READ, MAP_SHARED, file, 0)
        guard let address, address != MAP_FAILED else { return -1 }
        defer { munmap(address, size) }
        var pages = [UInt8](repeating: 0, count: (size + 4095) / 4096)
        guard mincore(address, size, &pages) == 0 else { return -1 }
        return pages.count { $0 & 1 != 0 }
    }

    /// Whether files below a folder can leave memory at all; those of a memory file system cannot.
    static func canForget(_ folder: String) throws -> Bool {
        let path = FileSystem.join(folder, "probe")
        let file = try OutputFile(path: path)
        try file.write([UInt8](repeating: 1, count: 8192))
        try file.flush()
        try file.publish()
        return try residentPages(path) == 0
    }
}
