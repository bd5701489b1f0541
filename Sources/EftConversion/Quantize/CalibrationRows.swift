// SPDX-License-Identifier: Apache-2.0
// Token rows that a model reads while it is quantized.
import EftConfig
import EftFormats

/// Rows of tokens for calibration.
package struct CalibrationRows: Sendable, Hashable {
    /// What the rows are called in `quantization_config`: the file's name.
    package let name: String
    /// The file that they come from, to go on with it later; nil for the built-in text.
    package private(set) var path: String?
    /// The rows; all but a single short one have the length asked for.
    package let rows: [[Int32]]

    /// Cuts tokens in consecutive rows; what is left at the end is not used unless it is all there is.
    /// - Parameter path: the file that they come from, to go on with it later.
    /// - Throws: `ConversionError` (`usage`) when there are fewer than two tokens.
    package init(
        name: String, tokens: [Int32], rows: Int, length: Int, path: String? = nil
    ) throws(ConversionError) {
        guard rows > 0, length > 1 else {
            throw ConversionError(
                .usage, "calibration takes at least 1 row (-r) of at least 2 tokens (-l)")
        }
        guard tokens.count > 1 else {
            throw ConversionError(
                .usage, "the calibration text holds \(tokens.count) tokens; give a longer one",
                path: name)
        }
        self.name = FileSystem.name(of: name)
        self.path = path
        if tokens.count < length {
            self.rows = [tokens]
        } else {
            let count = min(rows, tokens.count / length)
            self.rows = (0..<count).map { Array(tokens[$0 * length..<($0 + 1) * length]) }
        }
    }

    /// Takes rows as they are.
    init(name: String, rows: [[Int32]]) {
        self.name = name
        self.rows = rows
    }

    /// Reads a text file, a `.jsonl` file whose rows have a `text`, or a Parquet file, and cuts it in rows.
    ///
    /// A text file is encoded in whole; each text of a `.jsonl` file by itself, one after the other; and so is each row of a
    /// Parquet file, all its columns joined by a space.
    /// - Parameter encode: gives the tokens of a text, special ones that belong around it included.
    /// - Throws: `ConversionError`, `FormatError`, `ConfigError`, and what `encode` throws.
    package init(
        file: String, rows: Int, length: Int, encode: (String) throws -> [Int32]
    ) throws {
        guard FileSystem.exists(file), !FileSystem.isFolder(file) else {
            throw ConversionError(
                .usage, "no such calibration file; give a text, .jsonl or .parquet file with -c",
                path: file)
        }
        for suffix in [".arrow", ".csv", ".gz", ".zst", ".zip", ".safetensors"]
        where file.lowercased().hasSuffix(suffix) {
            throw ConversionError(
                .usage,
                "\(suffix) files are not read as calibration; give a UTF-8 text, .jsonl rows with a text, or "
                    + ".parquet",
                path: file)
        }
        // Much more text than is needed would only take time.
        let (wanted, overflow) = rows.multipliedReportingOverflow(by: length)
        let enough = overflow ? Int.max : wanted
        var tokens: [Int32] = []
        if let texts = try CalibrationTexts(file) {
            while tokens.count < enough, let text = try texts.next() {
                tokens += try encode(text)
            }
        } else {
            let bytes = try FileSystem.read(file)
            // A token is rarely longer than 16 bytes; the cut falls between lines.
            let limit = enough > bytes.count / 16 ? bytes.count : enough * 16
            let end = bytes[limit...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            tokens = try encode(String(decoding: bytes[..<end], as: UTF8.self))
        }
        try self.init(name: file, tokens: tokens, rows: rows, length: length, path: file)
    }

    /// Some of the rows, shortened.
    /// - Parameter spread: whether they come from all over, or are the first ones.
    func selecting(_ count: Int, length: Int, spread: Bool) -> CalibrationRows {
        let count = min(count, rows.count)
        var selected = CalibrationRows(
            name: name,
            rows: (0..<count).map { index in
                Array(rows[spread ? index * rows.count / count : index].prefix(length))
            })
        selected.path = path
        return selected
    }

    /// Number of tokens.
    package var tokenCount: Int { rows.reduce(0) { $0 + $1.count } }
    /// Tokens of the longest row.
    package var longest: Int { rows.map(\.count).max() ?? 0 }
}
