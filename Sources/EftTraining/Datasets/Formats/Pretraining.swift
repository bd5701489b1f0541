// SPDX-License-Identifier: Apache-2.0
// Long texts, read through a window that moves on by less than its length.
import EftConfig

/// Rows with a `text`, all of which is learned, in windows that overlap.
package struct Pretraining: DatasetFormat {
    package static let names = ["pretrain"]

    /// Most tokens that a window shares with the one before.
    private static let mostShared = 256

    private let field: String

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {
        field =
            try entry.cursor.text("text_column") ?? entry.cursor.text("field") ?? "text"
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let length = encoder.sequenceLen
        return try encoder.windows(
            row.requiredField(field), length: length,
            shared: min(Self.mostShared, (length - 1) / 2)
        ).map { TrainingExample(tokens: $0) }
    }
}
