// SPDX-License-Identifier: Apache-2.0
// The rows of an Arrow file, put together from its columns.
import EftConfig

/// Reads the rows of an Arrow file or stream lazily, as a JSONL file would have them.
///
/// A batch is looked at where it lies in the file, or decompressed, one at a time. Structures become mappings, lists lists;
/// a map is a list of mappings with `key` and `value`; times are the integers that are stored. Decimal numbers, spans of
/// time and bytes of fixed length are left out, and other bytes that are no UTF-8 are null. Each row's line is its number,
/// counted from 1.
package final class ArrowRows {
    /// The file, as given.
    package let path: String
    private let file: MappedFile
    private var messages: ArrowMessages
    private var dictionaries: ArrowDictionaries
    private var columns: [(name: String, column: ArrowColumn)] = []
    private var place = 0
    private var rowCount = 0
    private var row = 0
    private var budget = RowBudget()
    /// Bytes of rows since pages were given back.
    private var touched = 0

    /// Opens a file and reads its description.
    /// - Throws: `FormatError` (`missing`, `unreadable`, `damaged`, `unsupported`).
    package init(_ path: String) throws(FormatError) {
        self.path = path
        file = try MappedFile(path: path)
        messages = try ArrowMessages(file)
        dictionaries = ArrowDictionaries(messages.schema)
        guard messages.schema.fields.contains(where: { $0.isRead }) else {
            throw FormatError(.unsupported, "the file has no column that can be read", path: path)
        }
    }

    /// The next row; nil at the end.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    package func next() throws(FormatError) -> ConfigCursor? {
        while place == rowCount {
            guard try beginBatch() else { return nil }
        }
        row += 1
        budget = RowBudget()
        let node = try structure(columns, place)
        place += 1
        touched += budget.takenBytes
        if touched > ArrowLimits.keptBytes || place == rowCount {
            file.release(0..<file.byteCount)
            touched = 0
        }
        return ConfigCursor(node, file: path)
    }

    private func damaged(_ message: String) -> FormatError {
        FormatError(.damaged, message, path: path, line: row)
    }

    private func beginBatch() throws(FormatError) -> Bool {
        // Two batches are never in memory.
        columns = []
        while let message = try messages.next() {
            switch message.kind {
            case .schema: throw damaged("columns are described twice")
            case .dictionary: try dictionaries.add(message, file)
            case .batch:
                var batch = try ArrowBatch(
                    message.description, message.body, file,
                    room: max(0, ArrowLimits.unpackedBytes - dictionaries.unpacked))
                columns = try batch.columns(messages.schema.fields, dictionaries)
                (place, rowCount) = (0, batch.length)
                return true
            }
        }
        (place, rowCount) = (0, 0)
        return false
    }

    // MARK: Places

    private func structure(
        _ columns: [(name: String, column: ArrowColumn)], _ place: Int
    ) throws(FormatError) -> ConfigNode {
        var object = ConfigObject()
        for (name, column) in columns {
            guard object.insert(name, try node(column, place), line: row) else {
                throw damaged("two columns are called '\(excerpt(name))'")
            }
        }
        return ConfigNode(.object(object), line: row)
    }

    /// The value at a place that the column has.
    private func node(_ column: ArrowColumn, _ place: Int) throws(FormatError) -> ConfigNode {
        try budget.take(values: 1, bytes: 0, self.damaged)
        guard column.isThere(place) else { return ConfigNode(.null, line: row) }
        switch column.values {
        case .list(let ends, let elements):
            guard let range = ends.range(place, within: elements.length) else {
                throw damaged("a list lies outside of its column")
            }
            return try list(elements, range)
        case .fixedList(let elements, let count):
            return try list(elements, place * count..<(place + 1) * count)
        case .structure(let parts): return try structure(parts, place)
        case .places(let buffer, let width, let isSigned, let parts):
            return try entry(parts, integer(buffer, place, width, isSigned))
        default: return ConfigNode(try value(column.values, place), line: row)
        }
    }

    private func list(
        _ elements: ArrowColumn, _ range: Range<Int>
    ) throws(FormatError) -> ConfigNode {
        var items: [ConfigNode] = []
        for place in range { items.append(try node(elements, place)) }
        return ConfigNode(.array(items), line: row)
    }

    /// An entry of a dictionary.
    private func entry(
        _ parts: [ArrowColumn], _ content: ConfigNode.Content
    ) throws(FormatError) -> ConfigNode {
        if case .integer(var place) = content, place >= 0 {
            for part in parts {
                if place < part.length { return try node(part, place) }
                place -= part.length
            }
        }
        throw damaged("a value outside of the dictionary")
    }

    private func integer(
        _ buffer: ArrowBuffer, _ place: Int, _ width: Int, _ isSigned: Bool
    ) -> ConfigNode.Content {
        if isSigned { return .integer(Int(buffer.signed(place, bytes: width))) }
        let value = buffer.integer(place, bytes: width)
        return Int(exactly: value).map { .integer($0) } ?? .real(Double(value))
    }

    private func value(
        _ values: ArrowColumn.Values, _ place: Int
    ) throws(FormatError) -> ConfigNode.Content {
        switch values {
        case .bool(let buffer): return .bool(buffer.bit(place))
        case .integer(let buffer, let width, let isSigned):
            return integer(buffer, place, width, isSigned)
        case .real(let buffer, let width):
            let bits = buffer.integer(place, bytes: width)
            switch width {
            case 2: return .real(Double(Float16(bitPattern: UInt16(truncatingIfNeeded: bits))))
            case 4: return .real(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
            default: return .real(Double(bitPattern: bits))
            }
        case .bytes(let ends, let buffer, let isText):
            guard let range = ends.range(place, within: buffer.count) else {
                throw damaged("a text lies outside of its column")
            }
            try budget.take(values: 0, bytes: range.count, self.damaged)
            if let text = buffer.text(range) { return .string(text) }
            guard !isText else { throw damaged("a text is no UTF-8") }
            return .null
        default: return .null
        }
    }
}
