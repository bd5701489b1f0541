// SPDX-License-Identifier: Apache-2.0
// Scores that a reward model gives to texts, or to their steps.
import EftModels
import EftNN
import EftTensor

/// Asks a model that scores.
package struct ScoreEvaluator {
    /// Most sequences of a batch.
    package static let sequences = 128

    private let pass: EvaluationPass
    private let slots: [Int]
    private let rows: Int
    private let labels: Int

    /// Rows of a batch: what is asked for, but not less than the longest sequence and not more than all together.
    package static func rows(_ sequences: [[Int32]], wanted: Int) -> Int {
        let longest = sequences.map(\.count).max() ?? 1
        return max(longest, min(wanted, sequences.reduce(0) { $0 + $1.count }))
    }

    /// Bytes that are kept outside of the ledgers for batches of `rows` rows and so many scores.
    package static func byteCount(rows: Int, scores: Int) -> Int { rows * 128 + scores * 96 }

    /// Takes the memory for batches of `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger, `ModelError` for a model that gives no scores.
    package init(decoder: Decoder, slots: [Int], rows: Int) throws {
        guard decoder.description.scores != nil else {
            throw ModelError(
                .unsupported,
                "the model gives tokens and no scores; train one with reward_model: true")
        }
        self.slots = slots
        self.rows = rows
        labels = decoder.description.headOutputs
        try decoder.reserveScratch(
            rows: rows, headRows: LossHead.chunkRows(vocabulary: labels, rows: rows))
        pass = try EvaluationPass(
            decoder: decoder, rows: rows, sequences: ScoreEvaluator.sequences)
    }

    /// What the head gives at places of sequences, `[places][labels]` of each.
    /// - Parameters:
    ///   - places: of each sequence, in ascending order.
    ///   - progress: told how many sequences are done.
    /// - Throws: `GenerationError` when a score is not finite.
    package func score(
        _ sequences: [[Int32]], places: [[Int]], progress: (Int) throws -> Void
    ) throws -> [[Float]] {
        var scores: [[Float]] = []
        while scores.count < sequences.count {
            let first = scores.count
            var (end, count) = (first, 0)
            while end < sequences.count, end - first < ScoreEvaluator.sequences,
                end == first || count + sequences[end].count <= rows
            {
                count += sequences[end].count
                end += 1
            }
            scores += try batch(sequences[first..<end], places[first..<end])
            try progress(end)
        }
        guard scores.joined().allSatisfy(\.isFinite) else {
            throw GenerationError(
                "a score is not a finite number; the model's weights may be damaged")
        }
        return scores
    }

    private func batch(
        _ sequences: ArraySlice<[Int32]>, _ places: ArraySlice<[Int]>
    ) throws -> [[Float]] {
        var (rows, first) = ([Int](), 0)
        for (sequence, places) in zip(sequences, places) {
            rows += places.map { first + $0 }
            first += sequence.count
        }
        guard !rows.isEmpty else { return places.map { _ in [] } }
        var values = try pass.values(
            DecoderBatch(sequences: Array(sequences), slots: slots), rows: rows)[...]
        return places.map { places in
            let own = values.prefix(places.count * labels)
            values = values.dropFirst(own.count)
            return Array(own)
        }
    }
}
