// SPDX-License-Identifier: Apache-2.0
// Rows of CSV and TSV files (RFC 4180).
import EftConfig

/// Reads rows whose fields stand between delimiters, under the names of the first row.
///
/// A field in quotes may hold delimiters, line breaks, and quotes written twice. All fields are texts; an empty one counts as
/// absent. Lines without any character are passed over.
final class DelimitedRows {
    private var lines: LineReader
    private let delimiter: UInt8
    private var names: [String] = []
    private var record: [String] = []

    private static let quote = UInt8(ascii: "\"")

    /// Reads the names of the fields.
    /// - Throws: `ConfigError` when there are none, or two alike.
    init(_ source: any ByteSource, path: String, delimiter: UInt8) throws(ConfigError) {
        lines = LineReader(source, path: path)
        self.delimiter = delimiter
        guard let first = try readRecord() else { return }
        names = record
        guard Set(names).count == names.count, !names.contains("") else {
            throw lines.fault(
                .syntax, "the first row must name every field, each otherwise", first)
        }
    }

    /// The next row; nil at the end.
    /// - Throws: `ConfigError` (`syntax`, `tooLarge`, `unreadable`).
    func next() throws(ConfigError) -> ConfigCursor? {
        guard let line = try readRecord() else { return nil }
        guard record.count <= names.count else {
            throw lines.fault(
                .syntax, "the row has \(record.count) fields, the first row names \(names.count)",
                line)
        }
        var row = ConfigObject()
        for (name, field) in zip(names, record) {
            row[name] = field.isEmpty ? .null : ConfigNode(field)
        }
        return ConfigCursor(ConfigNode(.object(row), line: line), file: lines.path)
    }

    /// Reads the next record that is not empty into `record`.
    /// - Returns: its first line; nil at the end.
    private func readRecord() throws(ConfigError) -> Int? {
        while let line = try lines.next() {
            var bytes = Self.withoutEnd(line)
            if bytes.isEmpty { continue }
            let first = lines.line
            record.removeAll(keepingCapacity: true)
            var position = 0
            while true {
                let field = try field(&bytes, &position, first)
                record.append(try lines.text(field))
                guard position < bytes.count else { return first }
                guard bytes[position] == delimiter else {
                    throw lines.fault(
                        .syntax,
                        "text stands behind a quoted field; a quote within is written twice",
                        lines.line)
                }
                position += 1
            }
        }
        return nil
    }

    /// The field that begins at `position`, which is moved to what stands behind it.
    private func field(
        _ bytes: inout [UInt8], _ position: inout Int, _ first: Int
    ) throws(ConfigError) -> [UInt8] {
        guard position < bytes.count, bytes[position] == Self.quote else {
            let end = bytes[position...].firstIndex(of: delimiter) ?? bytes.count
            defer { position = end }
            return Array(bytes[position..<end])
        }
        position += 1
        var field: [UInt8] = []
        while true {
            guard let end = bytes[position...].firstIndex(of: Self.quote) else {
                // The field goes on in the next line.
                field += bytes[position...]
                guard let next = try lines.next() else {
                    throw lines.fault(.syntax, "a quoted field is not closed", first)
                }
                guard field.count <= LineReader.longest else {
                    throw lines.fault(
                        .tooLarge, "a row is longer than \(LineReader.longest) bytes", first)
                }
                field.append(UInt8(ascii: "\n"))
                (bytes, position) = (Self.withoutEnd(next), 0)
                continue
            }
            field += bytes[position..<end]
            position = end + 1
            guard position < bytes.count, bytes[position] == Self.quote else { return field }
            field.append(Self.quote)
            position += 1
        }
    }

    private static func withoutEnd(_ line: [UInt8]) -> [UInt8] {
        var line = line
        if line.last == UInt8(ascii: "\n") { line.removeLast() }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        return line
    }
}
