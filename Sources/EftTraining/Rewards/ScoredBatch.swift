// SPDX-License-Identifier: Apache-2.0
// Sequences that are scored together, and where their scores stand.
import EftModels
import EftNN

/// Sequences that go through the model together, each with the row of its score.
package struct ScoredBatch: Sendable {
    /// The sequences.
    package let sequences: [[Int32]]
    /// For each the row of the batch at which it is scored.
    package let rows: [Int]

    /// Puts sequences together.
    /// - Parameter padID: the token that fills up rows: transformers scores a text at its last other token.
    package init(_ sequences: [[Int32]], padID: Int32?) {
        self.sequences = sequences
        var (rows, first) = ([Int](), 0)
        for sequence in sequences {
            rows.append(first + ScoredBatch.place(in: sequence, padID: padID))
            first += sequence.count
        }
        self.rows = rows
    }

    /// The place of the last token that is no padding; the first one where all are.
    package static func place(in sequence: [Int32], padID: Int32?) -> Int {
        sequence.lastIndex { $0 != padID } ?? 0
    }

    /// The batch for a pass with some adapters.
    func rows(
        slots: [Int], dropoutSeed: UInt64? = nil, embeddingNoise: Float = 0
    ) -> TrainingRows {
        let batch = DecoderBatch(sequences: sequences, slots: slots)
        return TrainingRows(
            batch, labels: [Int32](repeating: TrainingExample.ignoreIndex, count: batch.count),
            dropoutSeed: dropoutSeed, embeddingNoise: embeddingNoise)
    }

    /// Tokens that go through the model.
    package var tokenCount: Int { sequences.reduce(0) { $0 + $1.count } }
}
