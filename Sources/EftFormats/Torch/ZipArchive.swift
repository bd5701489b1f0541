// SPDX-License-Identifier: Apache-2.0
// Reading zip archives: the directory is checked, entries stay in the mapped file until they are asked for.
//
// End of central directory (last 22 bytes + comment)      Central directory entry
// 0   4  50 4B 05 06                                      0   4  50 4B 01 02
// 4   2  number of this disk (0)                          8   2  flags (bit 0: encrypted)
// 10  2  entries                                          10  2  method: 0 stored, 8 deflated
// 12  4  size of the directory                            16  4  CRC-32 of the content
// 16  4  offset of the directory                          20  4  size in the file, 24 4 size of the content
// 20  2  size of the comment                              28  2  size of the name, 30 2 of the extra field,
// Zip64 (when a field above is all ones)                  32  2  of the comment
// locator, 20 bytes before: 50 4B 06 07, 8 8 offset of    42  4  offset of the local header
// record 50 4B 06 06: 32 8 entries, 40 8 size, 48 8 offset 46    name, extra field, comment
// Local header: 0 4 50 4B 03 04, 26 2 size of the name,   Extra field 1 (zip64): 8 bytes each for content size,
// 28 2 size of the extra field, 30 name, extra, data      size in the file, offset, where all ones above
import CZlib
import EftTensor

/// A zip archive in a mapped file.
struct ZipArchive: Sendable {
    /// One file of the archive.
    struct Entry: Sendable {
        let name: String
        let isDeflated: Bool
        let checksum: UInt32
        let storedCount: Int
        /// Size of the content in bytes.
        let byteCount: Int
        let headerOffset: Int
    }

    /// The mapped archive.
    let file: MappedFile
    /// Entries in the order of the directory.
    private(set) var entries: [Entry] = []
    private var directoryStart = 0

    /// Bytes that the entries may take in memory, names included, and what each takes besides its name.
    private static let (entriesRoom, entryBytes) = (32 << 20, 400)
    /// Longest name, in bytes.
    private static let longestName = 1024

    /// Reads the directory.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(_ file: MappedFile) throws(FormatError) {
        self.file = file
        var reader = ByteReader(file, start: try ZipArchive.endRecord(of: file))
        try reader.skip(10)
        var count = Int(try reader.u16())
        var size = Int(try reader.u32())
        var start = Int(try reader.u32())
        let end = reader.position - 20
        if count == 0xFFFF || size == 0xFFFF_FFFF || start == 0xFFFF_FFFF {
            (count, size, start) = try ZipArchive.zip64Record(of: file, before: end)
        }
        guard start >= 0, size >= 0, start <= end, size <= end - start else {
            throw FormatError(
                .damaged, "the zip directory lies outside of the file", path: file.path)
        }
        directoryStart = start
        try readDirectory(count: count, range: start..<start + size)
    }

    private static func endRecord(of file: MappedFile) throws(FormatError) -> Int {
        let bytes = file.slice(0..<file.byteCount)
        var position = bytes.count - 22
        let last = max(0, position - 0xFFFF)
        while position >= last {
            if bytes[position] == 0x50, bytes[position + 1] == 0x4B, bytes[position + 2] == 5,
                bytes[position + 3] == 6,
                Int(bytes[position + 20]) | Int(bytes[position + 21]) << 8
                    == bytes.count - position - 22
            {
                return position
            }
            position -= 1
        }
        throw FormatError(
            .damaged, "the end of the zip archive is missing; the file is cut off",
            path: file.path)
    }

    private static func zip64Record(
        of file: MappedFile, before end: Int
    ) throws(FormatError) -> (count: Int, size: Int, start: Int) {
        guard end >= 20 else {
            throw FormatError(.damaged, "the zip64 locator is missing", path: file.path)
        }
        var locator = ByteReader(file, start: end - 20)
        guard try locator.u32() == 0x0706_4B50 else {
            throw FormatError(.damaged, "the zip64 locator is missing", path: file.path)
        }
        try locator.skip(4)
        var record = ByteReader(file, start: try locator.offset())
        guard try record.u32() == 0x0606_4B50 else {
            throw FormatError(.damaged, "the zip64 record is missing", path: file.path)
        }
        try record.skip(28)
        return (try record.offset(), try record.offset(), try record.offset())
    }

    private mutating func readDirectory(count: Int, range: Range<Int>) throws(FormatError) {
        // An entry takes 46 bytes at least: a count that lies is found out before memory is taken for it.
        guard count <= range.count / 46 else {
            throw FormatError(
                .damaged, "the zip directory has no room for its entries", path: file.path)
        }
        var reader = ByteReader(file, start: range.lowerBound, end: range.upperBound)
        var names: Set<String> = []
        var room = ZipArchive.entriesRoom
        for _ in 0..<count {
            reader.releaseBehind()
            let entry = try readEntry(&reader)
            room -= entry.name.utf8.count + ZipArchive.entryBytes
            guard room >= 0 else {
                throw FormatError(
                    .unsupported,
                    "the zip directory has more entries than the "
                        + "\(formatBytes(ZipArchive.entriesRoom)) that are kept for them",
                    path: file.path)
            }
            guard names.insert(entry.name).inserted else {
                throw FormatError(
                    .damaged, "the zip directory has '\(entry.name)' twice", path: file.path)
            }
            entries.append(entry)
        }
    }

    private func readEntry(_ reader: inout ByteReader) throws(FormatError) -> Entry {
        guard try reader.u32() == 0x0201_4B50 else {
            throw FormatError(.damaged, "the zip directory is broken", path: file.path)
        }
        try reader.skip(4)
        let flags = try reader.u16()
        let method = try reader.u16()
        try reader.skip(4)
        let checksum = try reader.u32()
        var stored = Int(try reader.u32())
        var size = Int(try reader.u32())
        let nameCount = Int(try reader.u16())
        let extraCount = Int(try reader.u16())
        let commentCount = Int(try reader.u16())
        try reader.skip(8)
        var offset = Int(try reader.u32())
        guard nameCount <= ZipArchive.longestName else {
            throw FormatError(
                .unsupported, "a name in the zip directory has \(nameCount) bytes, too many",
                path: file.path)
        }
        let name = try reader.text(nameCount)
        var extra = try reader.part(extraCount)
        try reader.skip(commentCount)
        while extra.remaining >= 4 {
            let kind = try extra.u16()
            var field = try extra.part(Int(try extra.u16()))
            guard kind == 1 else { continue }
            if size == 0xFFFF_FFFF { size = try field.offset() }
            if stored == 0xFFFF_FFFF { stored = try field.offset() }
            if offset == 0xFFFF_FFFF { offset = try field.offset() }
        }
        guard flags & 1 == 0, method == 0 || method == 8 else {
            throw FormatError(
                .unsupported, "'\(name)' is encrypted or compressed in an unknown way",
                path: file.path)
        }
        // Deflate cannot shrink by more than 1032; a larger claim is a lie that would cost memory.
        let most = stored.multipliedReportingOverflow(by: 1032)
        guard method == 0 ? size == stored : most.overflow || size <= most.partialValue else {
            throw FormatError(
                .damaged, "'\(name)' claims a size that it cannot have", path: file.path)
        }
        return Entry(
            name: name, isDeflated: method == 8, checksum: checksum, storedCount: stored,
            byteCount: size, headerOffset: offset)
    }

    // MARK: Content

    /// Where an entry's stored bytes lie in the file.
    /// - Throws: `FormatError` (`damaged`).
    func dataRange(of entry: Entry) throws(FormatError) -> Range<Int> {
        // Read, not mapped: around each header of a large archive the system would map more pages than it has bytes.
        let offset = entry.headerOffset
        let fixed = 30
        guard offset >= 0, offset <= directoryStart else {
            throw FormatError(
                .damaged, "the local header of '\(entry.name)' lies outside", path: file.path)
        }
        let size = min(fixed + entry.name.utf8.count, directoryStart - offset)
        var header = [UInt8](repeating: 0, count: size)
        try header.withMutableRawBytes { (buffer) throws(FormatError) in
            try file.read(at: offset, into: buffer)
        }
        let start = try header.withRawBytes { (bytes) throws(FormatError) -> Int in
            var reader = ByteReader(bytes, path: file.path)
            guard try reader.u32() == 0x0403_4B50 else {
                throw FormatError(.damaged, "'\(entry.name)' has no local header", path: file.path)
            }
            try reader.skip(22)
            let nameCount = Int(try reader.u16())
            let extraCount = Int(try reader.u16())
            guard nameCount == entry.name.utf8.count, try reader.text(nameCount) == entry.name
            else {
                throw FormatError(
                    .damaged, "'\(entry.name)' bears another name in its local header",
                    path: file.path)
            }
            return offset + fixed + nameCount + extraCount
        }
        guard start <= directoryStart, entry.storedCount <= directoryStart - start else {
            throw FormatError(
                .damaged, "'\(entry.name)' reaches into the zip directory", path: file.path)
        }
        return start..<start + entry.storedCount
    }

    /// Most bytes of a deflated entry that is held in memory in whole.
    static let maximumContent = 16 << 20

    /// The whole content of a deflated entry; memory is taken as the data come, not by the size that the entry claims.
    /// - Throws: `FormatError` (`damaged`, `unsupported` for more than `maximumContent`).
    func content(of entry: Entry) throws(FormatError) -> [UInt8] {
        guard entry.byteCount <= ZipArchive.maximumContent else {
            throw FormatError(
                .unsupported,
                "'\(entry.name)' is compressed and has \(formatBytes(entry.byteCount)), too much to hold "
                    + "at once; save the file again with torch.save", path: file.path)
        }
        let source = Inflater(
            file.slice(try dataRange(of: entry)), name: entry.name, path: file.path)
        var content: [UInt8] = []
        while content.count < entry.byteCount {
            let first = content.count
            let count = min(entry.byteCount - first, max(first, 1 << 16))
            content.append(contentsOf: repeatElement(0, count: count))
            try content.withMutableRawBytes { (buffer) throws(FormatError) in
                try source.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[first...]))
            }
        }
        try finish(source, entry, content.withRawBytes { checksum($0) })
        return content
    }

    /// Checks the end of an entry's data, and their checksum.
    private func finish(_ source: Inflater, _ entry: Entry, _ sum: UInt32) throws(FormatError) {
        try source.expectEnd()
        guard sum == entry.checksum else {
            throw FormatError(
                .damaged, "'\(entry.name)' does not match its checksum", path: file.path)
        }
    }

    /// The content of a deflated entry from `start` on, into the whole of `target`.
    /// - Throws: `FormatError` (`damaged`).
    func inflate(
        _ entry: Entry, from start: Int, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        precondition(start >= 0 && target.count <= entry.byteCount - start, "part of an entry")
        let range = try dataRange(of: entry)
        let source = Inflater(file.slice(range), name: entry.name, path: file.path)
        var skipped = 0
        var scratch = [UInt8](repeating: 0, count: min(start, 1 << 16))
        while skipped < start {
            let count = min(scratch.count, start - skipped)
            try scratch.withMutableRawBytes { (buffer) throws(FormatError) in
                try source.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
            }
            skipped += count
        }
        try source.fill(target)
        guard start == 0, target.count == entry.byteCount else { return }
        try finish(source, entry, checksum(UnsafeRawBufferPointer(target)))
    }

    private func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        let base = bytes.bindMemory(to: UInt8.self).baseAddress
        return UInt32(truncatingIfNeeded: crc32_z(crc32_z(0, nil, 0), base, bytes.count))
    }
}
