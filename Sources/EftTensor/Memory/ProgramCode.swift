// SPDX-License-Identifier: Apache-2.0
// The pages of the program's own code.

#if canImport(Glibc)
    import Glibc
#endif

/// Machine code of the program and its libraries, which the system maps from their files as it is used.
package enum ProgramCode {
    /// Takes the pages of code out of this process, which starting and loading have brought in and mostly nothing uses again.
    /// What is used again is mapped from the file's pages in the system's cache, without reading the disk.
    ///
    /// Only code is given back, which nothing has written to. Does nothing where the system does not list what is mapped.
    package static func giveBack() {
        guard let file = fopen("/proc/self/maps", "r") else { return }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4352)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
            guard let range = codeRange(String(decoding: text, as: UTF8.self)) else { continue }
            _ = madvise(
                UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED)
        }
    }

    /// The addresses of a line of /proc/self/maps (`START-END r-xp OFFSET DEVICE INODE PATH`) that are code of a file.
    package static func codeRange(_ line: String) -> Range<UInt>? {
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count == 6, fields[1] == "r-xp",
            fields[5].drop(while: { $0 == " " }).hasPrefix("/")
        else { return nil }
        let ends = fields[0].split(separator: "-").map { UInt($0, radix: 16) }
        guard ends.count == 2, let first = ends[0], let end = ends[1], first < end else {
            return nil
        }
        return first..<end
    }
}
