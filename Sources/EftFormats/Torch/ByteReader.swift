// SPDX-License-Identifier: Apache-2.0
// Little-endian fields read one after another, never past the end.

/// A position in a part of a file; every read is checked against the end of the part.
///
/// It looks at memory that its maker keeps alive.
struct ByteReader {
    private let path: String
    private let bytes: UnsafeRawBufferPointer
    private let end: Int
    /// The file whose pages are given back as reading goes on; nil for memory.
    private let file: MappedFile?
    private var released: Int
    /// Offset in the file of the next byte.
    private(set) var position: Int

    /// Reads from `start` to `end` (of the file when nil); a start outside makes the first read fail.
    init(_ file: MappedFile, start: Int, end: Int? = nil) {
        self.init(
            file.slice(0..<file.byteCount), path: file.path, start: start, end: end, file: file)
    }

    /// Reads bytes in memory that came from the file at `path`.
    init(
        _ bytes: UnsafeRawBufferPointer, path: String, start: Int = 0, end: Int? = nil,
        file: MappedFile? = nil
    ) {
        self.path = path
        self.file = file
        released = start
        self.bytes = bytes
        self.end = min(end ?? bytes.count, bytes.count)
        position = start
    }

    /// Mapped bytes behind the position that may stay in memory.
    private static let keptBytes = 1 << 20
    /// Longest line, in bytes; a file without line feeds is not searched to its end.
    private static let longestLine = 4096

    /// Gives the pages back that were read, so that a large file is not held in whole.
    mutating func releaseBehind() {
        guard position - released >= ByteReader.keptBytes else { return }
        file?.release(released..<position)
        released = position
    }

    /// Bytes left; negative when the start lay outside.
    var remaining: Int { position < 0 ? -1 : end - position }

    /// Steps over bytes; gives the position of the first.
    private mutating func take(_ count: Int) throws(FormatError) -> Int {
        guard count >= 0, remaining >= count else {
            throw FormatError(
                .damaged, "the file ends, or a part of it, where \(count) more bytes are expected",
                path: path)
        }
        defer { position += count }
        return position
    }

    /// Steps over bytes.
    mutating func skip(_ count: Int) throws(FormatError) { _ = try take(count) }

    /// One byte.
    mutating func u8() throws(FormatError) -> UInt8 { bytes[try take(1)] }

    /// Two bytes.
    mutating func u16() throws(FormatError) -> UInt16 {
        UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(2), as: UInt16.self))
    }

    /// Four bytes.
    mutating func u32() throws(FormatError) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(4), as: UInt32.self))
    }

    /// Eight bytes.
    mutating func u64() throws(FormatError) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: try take(8), as: UInt64.self))
    }

    /// Eight bytes that count or place something.
    mutating func offset() throws(FormatError) -> Int {
        let value = try u64()
        guard let offset = Int(exactly: value) else {
            throw FormatError(.damaged, "\(value) is no size that a file can have", path: path)
        }
        return offset
    }

    /// A reader for the next bytes, which this one steps over.
    mutating func part(_ count: Int) throws(FormatError) -> ByteReader {
        let start = try take(count)
        return ByteReader(bytes, path: path, start: start, end: start + count, file: file)
    }

    /// The next bytes.
    mutating func raw(_ count: Int) throws(FormatError) -> [UInt8] {
        let start = try take(count)
        return Array(bytes[start..<start + count])
    }

    /// The next bytes as UTF-8.
    mutating func text(_ count: Int) throws(FormatError) -> String {
        let start = try take(count)
        guard let text = String(validating: bytes[start..<start + count], as: UTF8.self) else {
            throw FormatError(.damaged, "a name is not valid UTF-8", path: path)
        }
        return text
    }

    /// Bytes up to a line feed, which is stepped over, as UTF-8.
    mutating func line() throws(FormatError) -> String {
        let start = position
        while try u8() != UInt8(ascii: "\n") {
            guard position - start <= ByteReader.longestLine else {
                throw FormatError(.damaged, "a line has no end", path: path)
            }
        }
        let slice = bytes[start..<position - 1]
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw FormatError(.damaged, "a name is not valid UTF-8", path: path)
        }
        return text
    }

    /// An error of the file.
    func error(_ code: FormatError.Code, _ message: String) -> FormatError {
        FormatError(code, message, path: path)
    }
}
