// SPDX-License-Identifier: Apache-2.0
// The texts of the rows of a calibration file.
import EftConfig
import EftFormats

/// Texts of `.jsonl` and Parquet rows.
///
/// A JSON row has a `text`, or is an instruction (`instruction`, `input`, `output`), or a conversation (`messages` or
/// `conversations`, each with `content` or `value`), whose parts become lines. The columns of a Parquet row are joined by a
/// space, as ExLlamaV2 does.
struct CalibrationTexts {
    private let rows: DataRows
    private let isParquet: Bool

    /// Opens a file; nil when it has no rows but is one text.
    /// - Throws: `ConfigError`, `FormatError`.
    init?(_ file: String) throws {
        isParquet = DataRows.isParquet(file)
        guard isParquet || file.hasSuffix(".jsonl") || file.hasSuffix(".json") else { return nil }
        rows = try DataRows(file)
    }

    /// The next text; nil at the end.
    /// - Throws: `ConfigError`, `FormatError`.
    func next() throws -> String? {
        guard let row = try rows.next() else { return nil }
        if isParquet, case .object(let columns) = row.node.value {
            return columns.entries.compactMap { Self.text($0.node) }.joined(separator: " ")
        }
        return try Self.text(of: row)
    }

    private static func text(of row: ConfigCursor) throws(ConfigError) -> String {
        if let text = try row.optional("text") { return try text.string() }
        for key in ["messages", "conversations"] {
            guard let messages = try row.optional(key) else { continue }
            var parts: [String] = []
            for message in try messages.elements() {
                if let content = try message.optional("content") {
                    parts.append(try content.string())
                } else {
                    parts.append(try message.required("value").string())
                }
            }
            return parts.joined(separator: "\n")
        }
        var parts: [String] = []
        for key in ["instruction", "input", "output", "response"] {
            if let part = try row.optional(key)?.string(), !part.isEmpty { parts.append(part) }
        }
        guard !parts.isEmpty else { return try row.required("text").string() }
        return parts.joined(separator: "\n")
    }

    /// A column's value as text; what is no text as JSON has it.
    private static func text(_ node: ConfigNode) -> String? {
        switch node.value {
        case .null: nil
        case .string(let text): text
        default: JSONWriter.text(node)
        }
    }
}
