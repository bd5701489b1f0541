// SPDX-License-Identifier: Apache-2.0
// The rows of a Parquet file, put together from its columns.
import EftConfig

/// Reads the rows of a Parquet file lazily, as a JSONL file would have them.
///
/// A page of each column is in memory at a time. Structures become mappings, lists lists; a map is a list of mappings
/// with `key` and `value`; times are the integers that are stored. Columns of 96-bit times, decimal numbers and bytes of
/// fixed length are left out, and other bytes that are no UTF-8 are null. Each row's line is its number, counted from 1.
package final class ParquetRows {
    /// The file, as given.
    package let path: String
    private let file: MappedFile
    private let metadata: ParquetMetadata
    private let schema: ParquetSchema
    private var group = 0
    private var rowsLeft = 0
    private var columns: [ColumnReader] = []
    private var row = 0
    private var budget = RowBudget()

    /// Opens a file and reads its description.
    /// - Throws: `FormatError` (`missing`, `unreadable`, `damaged`, `unsupported`).
    package init(_ path: String) throws(FormatError) {
        self.path = path
        file = try MappedFile(path: path)
        metadata = try ParquetMetadata(file)
        schema = try ParquetSchema(metadata.schema, path: path)
        guard !schema.columns.isEmpty else {
            throw FormatError(.unsupported, "the file has no column that can be read", path: path)
        }
    }

    /// The next row; nil at the end.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    package func next() throws(FormatError) -> ConfigCursor? {
        while rowsLeft == 0 {
            guard try beginGroup() else { return nil }
        }
        rowsLeft -= 1
        row += 1
        budget = RowBudget()
        for place in columns.indices {
            guard try columns[place].levels()?.repetition == 0 else {
                throw damaged("column '\(excerpt(schema.columns[place].path))' has no value for it")
            }
        }
        let node = try structure(schema.fields)
        if rowsLeft == 0 {
            for place in columns.indices where try columns[place].levels() != nil {
                throw damaged(
                    "column '\(excerpt(schema.columns[place].path))' goes on behind the last row")
            }
        }
        return ConfigCursor(node, file: path)
    }

    private func damaged(_ message: String) -> FormatError {
        FormatError(.damaged, message, path: path, line: row)
    }

    private func beginGroup() throws(FormatError) -> Bool {
        guard group < metadata.rowGroups.count else { return false }
        let portion = metadata.rowGroups[group]
        group += 1
        guard portion.columns.count == schema.columnCount else {
            throw damaged(
                "\(portion.columns.count) of \(schema.columnCount) columns are there for some rows")
        }
        var readers: [ColumnReader] = []
        for column in schema.columns {
            readers.append(
                ColumnReader(
                    pages: try ParquetPageReader(file, column, portion.columns[column.place])))
        }
        columns = readers
        rowsLeft = portion.rowCount
        return true
    }

    // MARK: Places

    private func structure(_ fields: [ParquetField]) throws(FormatError) -> ConfigNode {
        var object = ConfigObject()
        for field in fields {
            guard object.insert(field.name, try node(field), line: row) else {
                throw damaged("two columns are called '\(excerpt(field.name))'")
            }
        }
        return ConfigNode(.object(object), line: row)
    }

    private func node(_ field: ParquetField) throws(FormatError) -> ConfigNode {
        try budget.take(values: 1, bytes: 0, self.damaged)
        let first = field.firstColumn
        let levels = try columns[first].levels()
        guard let levels, levels.definition >= field.definition else {
            try skip(field)
            return ConfigNode(.null, line: row)
        }
        switch field.shape {
        case .value(let column):
            let content = try value(column)
            return ConfigNode(content, line: row)
        case .structure(let fields): return try structure(fields)
        case .list(let element, let definition, let repetition):
            guard levels.definition >= definition else {
                try skip(field)
                return ConfigNode(.array([]), line: row)
            }
            var items = [try node(element)]
            while let next = try columns[first].levels(), next.repetition >= repetition {
                guard next.repetition == repetition else {
                    throw damaged("column '\(excerpt(schema.columns[first].path))' repeats nothing")
                }
                items.append(try node(element))
            }
            return ConfigNode(.array(items), line: row)
        }
    }

    /// Passes over the entries of a place that is null or empty: one in each column below.
    private func skip(_ field: ParquetField) throws(FormatError) {
        try field.forEachColumn { (column) throws(FormatError) in
            guard let levels = try columns[column].levels(),
                levels.definition < schema.columns[column].definition
            else {
                throw damaged(
                    "column '\(excerpt(schema.columns[column].path))' has a value inside of nothing"
                )
            }
            columns[column].advance()
        }
    }

    private func value(_ place: Int) throws(FormatError) -> ConfigNode.Content {
        let column = schema.columns[place]
        let stored = try columns[place].value()
        columns[place].advance()
        switch stored {
        case .bool(let value): return .bool(value)
        case .real(let value): return .real(value)
        case .integer(let value):
            guard column.meaning == .unsigned else { return .integer(Int(value)) }
            if column.storage == .int32 {
                return .integer(Int(UInt32(truncatingIfNeeded: value)))
            }
            return value >= 0 ? .integer(Int(value)) : .real(Double(UInt64(bitPattern: value)))
        case .bytes(let bytes):
            try budget.take(values: 0, bytes: bytes.count, self.damaged)
            if let text = String(validating: bytes, as: UTF8.self) { return .string(text) }
            guard column.meaning != .text else {
                throw damaged("column '\(excerpt(column.path))' has text that is no UTF-8")
            }
            return .null
        }
    }
}

/// A column's entries in order: levels first, then the value when there is one.
private struct ColumnReader {
    private var pages: ParquetPageReader
    private var page: ParquetPage?
    private var current: (definition: Int, repetition: Int)?
    private var isAtEnd = false

    init(pages: ParquetPageReader) { self.pages = pages }

    /// The levels of the entry that comes next; nil at the end.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    mutating func levels() throws(FormatError) -> (definition: Int, repetition: Int)? {
        if let current { return current }
        if isAtEnd { return nil }
        if page?.count ?? 0 == 0 { page = try pages.next() }
        current = try page?.levels()
        isAtEnd = current == nil
        return current
    }

    /// The value of the entry whose levels are known.
    /// - Throws: `FormatError` (`damaged`).
    mutating func value() throws(FormatError) -> ParquetValue {
        guard let value = try page?.value() else { preconditionFailure("levels come first") }
        return value
    }

    /// Steps over the entry.
    mutating func advance() { current = nil }
}
