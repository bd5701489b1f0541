// SPDX-License-Identifier: Apache-2.0
// The rows of a data file, whatever its format.
import EftConfig

/// Reads the rows of a JSONL, JSON or Parquet file lazily.
package final class DataRows {
    private enum Source {
        case json(JSONLines)
        case parquet(ParquetRows)
    }

    /// The endings of names that are read as rows.
    package static let suffixes = [".json", ".jsonl", ".parquet"]

    private let source: Source

    /// Opens a file; one that begins as Parquet files do, or is called so, is one.
    /// - Throws: `ConfigError` (`unreadable`), `FormatError` as `ParquetRows` does.
    package init(_ path: String) throws {
        if Self.isParquet(path) {
            source = .parquet(try ParquetRows(path))
        } else {
            source = .json(try JSONLines(path))
        }
    }

    /// Whether a file is read as Parquet.
    package static func isParquet(_ path: String) -> Bool {
        if path.lowercased().hasSuffix(".parquet") { return true }
        guard let file = try? MappedFile(path: path), file.byteCount >= 4 else { return false }
        return file.slice(0..<4).elementsEqual(ParquetMetadata.magic)
    }

    /// The next row, whose errors name the file and its line, or its number in a Parquet file; nil at the end.
    /// - Throws: `ConfigError` as `JSONLines` does, `FormatError` as `ParquetRows` does.
    package func next() throws -> ConfigCursor? {
        switch source {
        case .json(let rows): try rows.next()
        case .parquet(let rows): try rows.next()
        }
    }
}
