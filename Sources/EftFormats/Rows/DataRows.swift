// SPDX-License-Identifier: Apache-2.0
// The rows of a data file, whatever its format.
import EftConfig

/// Reads the rows of a JSONL, JSON, CSV, TSV, text, Parquet or Arrow file lazily, compressed or not.
package final class DataRows {
    /// How rows are written.
    package enum Form: String, Sendable, CaseIterable {
        /// JSON values on lines, or one JSON list.
        case json
        /// Fields between commas, or between tabs in files that end in `.tsv`.
        case csv
        /// Lines, each of which is a row with a `text`.
        case text
        case parquet
        /// Files or streams, as data sets of Hugging Face are saved and cached.
        case arrow

        /// The endings of names, without those of compression.
        package var suffixes: [String] {
            switch self {
            case .json: [".json", ".jsonl"]
            case .csv: [".csv", ".tsv"]
            case .text: [".txt"]
            case .parquet: [".parquet"]
            case .arrow: [".arrow"]
            }
        }
    }

    private enum Source {
        case json(JSONLines)
        case delimited(DelimitedRows)
        case text(TextLines)
        case parquet(ParquetRows)
        case arrow(ArrowRows)
    }

    private let source: Source

    /// Opens a file; one that begins as Parquet or Arrow files do, or is called so, is one.
    /// - Parameter form: how rows are written; found by the name when nil.
    /// - Throws: `ConfigError` (`unreadable`), `FormatError` as `ParquetRows` and `ArrowRows` do.
    package init(_ path: String, form: Form? = nil) throws {
        if Self.isParquet(path) {
            source = .parquet(try ParquetRows(path))
            return
        }
        if Self.isArrow(path, form) {
            source = .arrow(try ArrowRows(path))
            return
        }
        let bytes = try CompressedSource.open(path)
        switch form ?? Self.form(of: path) ?? .json {
        case .csv:
            let isTabbed = CompressedSource.plainName(path).hasSuffix(".tsv")
            source = .delimited(
                try DelimitedRows(
                    bytes, path: path, delimiter: UInt8(ascii: isTabbed ? "\t" : ",")))
        case .text: source = .text(TextLines(bytes, path: path))
        case .json, .parquet, .arrow: source = .json(JSONLines(bytes, path: path))
        }
    }

    /// The form that a file's name says, whatever it is compressed by; nil when it says none.
    package static func form(of path: String) -> Form? {
        let name = CompressedSource.plainName(path)
        return Form.allCases.first { $0.suffixes.contains { name.hasSuffix($0) } }
    }

    /// Whether a file is read as Parquet.
    package static func isParquet(_ path: String) -> Bool {
        path.lowercased().hasSuffix(".parquet") || begins(path, ParquetMetadata.magic)
    }

    /// Whether a file is read as Arrow; a stream begins with nothing that only streams begin with.
    private static func isArrow(_ path: String, _ form: Form?) -> Bool {
        form == .arrow || (form == nil && path.lowercased().hasSuffix(".arrow"))
            || begins(path, ArrowMessages.magic)
    }

    private static func begins(_ path: String, _ magic: [UInt8]) -> Bool {
        guard let file = try? MappedFile(path: path), file.byteCount >= magic.count else {
            return false
        }
        return file.slice(0..<magic.count).elementsEqual(magic)
    }

    /// The next row, whose errors name the file and its line, or its number in a Parquet or Arrow file; nil at the end.
    /// - Throws: `ConfigError` as `JSONLines` does, `FormatError` as `ParquetRows` and `ArrowRows` do.
    package func next() throws -> ConfigCursor? {
        switch source {
        case .json(let rows): try rows.next()
        case .delimited(let rows): try rows.next()
        case .text(let rows): try rows.next()
        case .parquet(let rows): try rows.next()
        case .arrow(let rows): try rows.next()
        }
    }
}
