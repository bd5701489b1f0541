// SPDX-License-Identifier: Apache-2.0
// Rows that are token ids and labels already.
import EftConfig

/// Rows with `input_ids`, `attention_mask` and `labels`, whatever the type of their data set.
package struct Tokenized: DatasetFormat {
    /// The rows are known by their fields.
    package static let names: [String] = []

    private static let fields = ["input_ids", "attention_mask", "labels"]

    package init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws { self.init() }

    /// Makes the format.
    init() {}

    /// Whether a row is tokenized.
    static func holds(_ row: ConfigCursor) -> Bool {
        guard case .object(let object) = row.node.value else { return false }
        return fields.allSatisfy { object[$0] != nil && object[$0] != .null }
    }

    package func examples(
        _ row: ConfigCursor, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let ids = try row.required("input_ids").ints()
        let mask = try row.required("attention_mask").ints()
        let labels = try row.required("labels").ints()
        guard ids.count == mask.count, ids.count == labels.count else {
            throw row.error(
                .badValue,
                "input_ids, attention_mask and labels have \(ids.count), \(mask.count) and \(labels.count) entries"
            )
        }
        var example = TrainingExample(tokens: [])
        for (place, id) in ids.enumerated() where mask[place] != 0 {
            guard let token = Int32(exactly: id), token >= 0 else {
                throw row.error(.badValue, "input_ids[\(place)] is \(id), which is no token")
            }
            guard labels[place] == id || labels[place] == Int(TrainingExample.ignoreIndex) else {
                throw row.error(
                    .badValue,
                    "labels[\(place)] is \(labels[place]); it must be the token itself (\(id)) or -100"
                )
            }
            example.tokens.append(token)
            example.labels.append(
                labels[place] == id ? token : TrainingExample.ignoreIndex)
        }
        return [example]
    }
}
