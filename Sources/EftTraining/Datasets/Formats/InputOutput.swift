// SPDX-License-Identifier: Apache-2.0
// Text in segments, each learned or not, without any template.
import EftConfig

/// Rows with `segments`: a list of `{label: true or false, text: ...}`; no token is added.
package struct InputOutput: DatasetFormat {
    package static let names = ["input_output"]

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws {}

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        guard let segments = try row.optional("segments") else {
            throw row.error(.missingKey, "the row has no field 'segments'")
        }
        var (tokens, labels) = ([Int32](), [Int32]())
        for segment in try segments.elements() {
            let ids = try encoder.plain(segment.required("text").string())
            let learned = try segment.required("label").bool()
            tokens += ids
            labels +=
                learned || encoder.trainOnInputs
                ? ids : ids.map { _ in TrainingExample.ignoreIndex }
        }
        return [TrainingExample(tokens: tokens, labels: labels)]
    }
}
