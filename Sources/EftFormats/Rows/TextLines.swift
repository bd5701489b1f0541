// SPDX-License-Identifier: Apache-2.0
// The lines of a text file as rows.
import EftConfig

/// Reads each line as a row with a `text`; the line's end is not part of it.
final class TextLines {
    private var lines: LineReader

    init(_ source: any ByteSource, path: String) { lines = LineReader(source, path: path) }

    /// The next row; nil at the end.
    /// - Throws: `ConfigError` (`syntax`, `tooLarge`, `unreadable`).
    func next() throws(ConfigError) -> ConfigCursor? {
        guard var line = try lines.next() else { return nil }
        if line.last == UInt8(ascii: "\n") { line.removeLast() }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let row: ConfigObject = ["text": ConfigNode(try lines.text(line))]
        return ConfigCursor(ConfigNode(.object(row), line: lines.line), file: lines.path)
    }
}

/// Lines of bytes, with their ends.
struct LineReader {
    let path: String
    /// The number of the line that was read last, counted from 1.
    private(set) var line = 0
    private let source: any ByteSource
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    private static let pieceSize = 1 << 18
    /// Longest line, and longest row of several lines.
    static let longest = 64 << 20

    init(_ source: any ByteSource, path: String) {
        self.source = source
        self.path = path
    }

    /// The next line with its end; nil at the end of the file.
    mutating func next() throws(ConfigError) -> [UInt8]? {
        var scanned = start
        while true {
            if let end = buffer[scanned...].firstIndex(of: UInt8(ascii: "\n")) {
                return take(end + 1)
            }
            let searched = buffer.count - start
            guard searched <= Self.longest else {
                throw fault(.tooLarge, "a line is longer than \(Self.longest) bytes", line + 1)
            }
            if isAtEnd { return searched > 0 ? take(buffer.count) : nil }
            buffer.removeSubrange(..<start)
            start = 0
            isAtEnd = try source.read(Self.pieceSize, into: &buffer) == 0
            if line == 0, searched == 0, buffer.starts(with: [0xEF, 0xBB, 0xBF]) {
                start = 3
            }
            scanned = max(start, searched)
        }
    }

    private mutating func take(_ end: Int) -> [UInt8] {
        defer { start = end }
        line += 1
        return Array(buffer[start..<end])
    }

    /// Bytes as text.
    /// - Throws: `ConfigError` (`syntax`) when they are no UTF-8.
    func text(_ bytes: some Sequence<UInt8>) throws(ConfigError) -> String {
        guard let text = String(validating: Array(bytes), as: UTF8.self) else {
            throw fault(.syntax, "the text is not valid UTF-8", line)
        }
        return text
    }

    /// An error in a line.
    func fault(_ code: ConfigErrorCode, _ message: String, _ line: Int) -> ConfigError {
        ConfigError(code, message, file: path, line: line)
    }
}
