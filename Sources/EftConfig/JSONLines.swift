// SPDX-License-Identifier: Apache-2.0
// Rows of a JSONL file, or of a JSON file that is one list, read one at a time.

/// Reads the rows of a data file lazily: a JSON value on each line, or the elements of one JSON
/// list.
///
/// A file whose first character is `[` is one list. Memory is bounded by the longest row, not by
/// the file. Blank lines are skipped, a byte-order mark in front is passed over.
package final class JSONLines {
    /// How rows follow each other.
    private enum Layout {
        case unknown
        case lines
        case list
    }

    /// The file, as given.
    package let path: String
    private let source: any ByteSource
    private let maximumRowSize: Int
    private var layout = Layout.unknown
    /// Bytes read and not yet used stand in `buffer[start...]`.
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    private var line = 1
    /// Elements of a list that have been read.
    private var elementCount = 0
    private var isListClosed = false

    private static let pieceSize = 1 << 18

    /// Opens a file.
    /// - Parameter maximumRowSize: longest row accepted, in bytes.
    /// - Throws: `ConfigError` (`unreadable`).
    package convenience init(
        _ path: String, maximumRowSize: Int = 64 << 20
    ) throws(ConfigError) {
        self.init(try FileSource(path), path: path, maximumRowSize: maximumRowSize)
    }

    /// Reads rows from wherever their bytes are kept.
    /// - Parameter path: the file, for errors.
    package init(_ source: any ByteSource, path: String, maximumRowSize: Int = 64 << 20) {
        self.source = source
        self.path = path
        self.maximumRowSize = maximumRowSize
    }

    /// The next row, whose errors name file and line; nil at the end.
    /// - Throws: `ConfigError` (`syntax`, `duplicateKey`, `tooLarge`, `unreadable`).
    package func next() throws(ConfigError) -> ConfigCursor? {
        if layout == .unknown { try detectLayout() }
        return layout == .list ? try nextElement() : try nextLine()
    }

    /// All rows that remain.
    /// - Throws: `ConfigError` as `next` does.
    package func readAll() throws(ConfigError) -> [ConfigCursor] {
        var rows: [ConfigCursor] = []
        while let row = try next() { rows.append(row) }
        return rows
    }

    // MARK: Layout

    private func detectLayout() throws(ConfigError) {
        while buffer.count < 3, try fill() {}
        if buffer.starts(with: [0xEF, 0xBB, 0xBF]) { start = 3 }
        layout = try skipSpace() == UInt8(ascii: "[") ? .list : .lines
        if layout == .list { start += 1 }
    }

    // MARK: Lines

    private func nextLine() throws(ConfigError) -> ConfigCursor? {
        guard try skipSpace() != nil else { return nil }
        let end = try endOfLine()
        do throws(ConfigError) {
            let row = try parse(start..<end)
            start = end
            return row
        } catch {
            guard error.code == .syntax, error.line == line else { throw error }
            throw ConfigError(
                .syntax, "\(error.message); each line must hold one whole JSON value", file: path,
                line: line)
        }
    }

    /// Where the line that begins at `start` ends, its newline left out.
    private func endOfLine() throws(ConfigError) -> Int {
        var scanned = start
        while true {
            if let end = buffer[scanned...].firstIndex(of: UInt8(ascii: "\n")) {
                try checkSize(end - start)
                return end
            }
            let searched = buffer.count - start
            guard try fill() else { return buffer.count }
            scanned = start + searched
        }
    }

    // MARK: Elements of a list

    private func nextElement() throws(ConfigError) -> ConfigCursor? {
        var first = try skipSpace()
        if isListClosed {
            guard first == nil else { throw syntax("unexpected text after the end of the list") }
            return nil
        }
        if first == UInt8(ascii: "]") {
            start += 1
            isListClosed = true
            return try nextElement()
        }
        if elementCount > 0 {
            guard first == UInt8(ascii: ",") else { throw syntax("expected ',' or ']'") }
            start += 1
            first = try skipSpace()
        }
        guard first != nil else { throw syntax("the list is not closed by ']'") }
        let end = try endOfElement()
        let row = try parse(start..<end)
        line += buffer[start..<end].count { $0 == UInt8(ascii: "\n") }
        start = end
        elementCount += 1
        return row
    }

    /// Where the element that begins at `start` ends: at a comma or bracket outside of strings and
    /// brackets.
    private func endOfElement() throws(ConfigError) -> Int {
        var offset = 0
        var depth = 0
        var isInString = false
        while true {
            while start + offset < buffer.count {
                let byte = buffer[start + offset]
                switch byte {
                case UInt8(ascii: "\\") where isInString: offset += 1
                case UInt8(ascii: "\""): isInString.toggle()
                case _ where isInString: break
                case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    if depth == 0 { return start + offset }
                    depth -= 1
                case UInt8(ascii: ",") where depth == 0: return start + offset
                default: break
                }
                offset += 1
            }
            // An escape may point behind what has been read; nothing follows it at the end of the
            // file.
            guard try fill() else { return buffer.count }
        }
    }

    // MARK: Bytes

    private func parse(_ range: Range<Int>) throws(ConfigError) -> ConfigCursor {
        let node = try buffer.withUnsafeBufferPointer { (bytes) throws(ConfigError) in
            try JSONParser.parse(
                UnsafeBufferPointer(rebasing: bytes[range]), file: path, acceptsNonFinite: true,
                firstLine: line)
        }
        return ConfigCursor(node, file: path)
    }

    /// Passes over white space.
    /// - Returns: the byte that follows, or nil at the end of the file.
    private func skipSpace() throws(ConfigError) -> UInt8? {
        while true {
            while start < buffer.count {
                let byte = buffer[start]
                guard byte <= 0x20, isSpace(byte) else { return byte }
                if byte == UInt8(ascii: "\n") { line += 1 }
                start += 1
            }
            guard try fill() else { return nil }
        }
    }

    private func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    /// Reads another piece, dropping what has been used.
    /// - Returns: false at the end of the file.
    private func fill() throws(ConfigError) -> Bool {
        guard !isAtEnd else { return false }
        try checkSize(buffer.count - start)
        buffer.removeSubrange(..<start)
        start = 0
        isAtEnd = try source.read(Self.pieceSize, into: &buffer) == 0
        return !isAtEnd
    }

    private func checkSize(_ size: Int) throws(ConfigError) {
        guard size <= maximumRowSize else {
            throw ConfigError(
                .tooLarge, "a row is longer than \(maximumRowSize) bytes", file: path, line: line)
        }
    }

    private func syntax(_ message: String) -> ConfigError {
        ConfigError(.syntax, message, file: path, line: line)
    }
}
