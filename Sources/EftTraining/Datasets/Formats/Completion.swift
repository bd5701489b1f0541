// SPDX-License-Identifier: Apache-2.0
// Plain text, cut into pieces.
import EftConfig

/// Rows with a `text`, all of which is learned.
package struct Completion: DatasetFormat {
    package static let names = ["completion"]

    /// Longest text in pieces; what is beyond is not read.
    private static let mostPieces = 64

    private let field: String

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        field = try entry.cursor.text("field") ?? "text"
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let length = encoder.sequenceLen
        let (limit, overflow) = length.multipliedReportingOverflow(by: Self.mostPieces)
        let ids = try encoder.document(row.requiredField(field), limit: overflow ? .max : limit)
        return stride(from: 0, to: ids.count, by: length).map { first in
            TrainingExample(tokens: Array(ids[first..<min(first + length, ids.count)]))
        }
    }
}
