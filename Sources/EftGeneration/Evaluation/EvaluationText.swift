// SPDX-License-Identifier: Apache-2.0
// Texts to score, and the windows in which they are read.
import EftConfig
import EftFormats
import EftTokenizers

/// Texts to score.
package enum EvaluationText {
    /// Tokens of a UTF-8 text file, or of the `text` of all rows of a `.jsonl` or `.parquet` file one after the other.
    /// - Parameter isRows: whether the file holds rows whatever its name ends in.
    /// - Throws: `ConfigError` for unreadable files, `FormatError`, `TokenizerError`.
    package static func tokens(
        _ path: String, tokenizer: Tokenizer, isRows: Bool = false
    ) throws -> [Int32] {
        if isRows || path.hasSuffix(".jsonl") || DataRows.isParquet(path) {
            let rows = try DataRows(path)
            var tokens: [Int32] = []
            while let row = try rows.next() {
                let text = try row.required("text").string()
                tokens += try tokenizer.encode(text, addSpecialTokens: true)
            }
            return tokens
        }
        let bytes = try ConfigFile.contents(path)
        return try tokenizer.encode(String(decoding: bytes, as: UTF8.self), addSpecialTokens: true)
    }

    /// Consecutive windows of at most `length` tokens; a last one of a single token, which scores nothing, is left out.
    /// - Throws: `GenerationError` for fewer than two tokens.
    package static func windows(
        _ tokens: [Int32], length: Int
    ) throws(GenerationError) -> [Range<Int>] {
        guard tokens.count >= 2 else {
            throw GenerationError("the data has \(tokens.count) tokens; at least two are needed")
        }
        return stride(from: 0, to: tokens.count - 1, by: length).map {
            $0..<min($0 + length, tokens.count)
        }
    }
}
