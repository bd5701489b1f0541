// SPDX-License-Identifier: Apache-2.0
// A ragged batch: packed training rows, prefill chunks and one-token decode steps are all the same thing.
import EftTensor

/// Tokens of any number of sequences, each sequence's tokens consecutive.
package struct DecoderBatch: Sendable {
    /// Consecutive tokens of one sequence.
    package struct Run: Sendable {
        /// The sequence's number in the cache.
        package let sequence: Int
        /// Rows of the batch.
        package let rows: Range<Int>
        /// Position of the first row in its sequence.
        package let firstPosition: Int
        /// Tokens that the sequence will have in the end; dynamic rotary scaling depends on it.
        package let length: Int

        /// Makes a run; `length` is what the run reaches when not given.
        package init(sequence: Int, rows: Range<Int>, firstPosition: Int = 0, length: Int? = nil) {
            self.sequence = sequence
            self.rows = rows
            self.firstPosition = firstPosition
            self.length = max(length ?? 0, firstPosition + rows.count)
        }
    }

    /// Token ids, row by row.
    package let tokens: [Int32]
    /// Runs in order of rows, together covering all of them.
    package let runs: [Run]
    /// Which adapters act on which rows.
    package let adapterSegments: [AdapterSegment]

    /// Makes a batch; without segments the adapters of `slots` act on all rows.
    package init(
        tokens: [Int32], runs: [Run], adapterSegments: [AdapterSegment]? = nil, slots: [Int] = []
    ) {
        precondition(runs.reduce(0) { $0 + $1.rows.count } == tokens.count)
        self.tokens = tokens
        self.runs = runs
        self.adapterSegments =
            adapterSegments
            ?? (slots.isEmpty ? [] : [AdapterSegment(rows: 0..<tokens.count, slots: slots)])
    }

    /// A batch of whole sequences, numbered from 0.
    package init(sequences: [[Int32]], slots: [Int] = []) {
        var runs: [Run] = []
        var row = 0
        for (index, sequence) in sequences.enumerated() {
            runs.append(Run(sequence: index, rows: row..<row + sequence.count))
            row += sequence.count
        }
        self.init(tokens: sequences.flatMap { $0 }, runs: runs, slots: slots)
    }

    /// Number of rows.
    package var count: Int { tokens.count }

    /// The batch of some of its rows, given in ascending order: row i is what row `kept[i]` was.
    package func keeping(_ kept: [Int]) -> DecoderBatch {
        var keptRuns: [Run] = []
        var row = 0
        for run in runs {
            while row < kept.count, kept[row] < run.rows.upperBound {
                let first = row
                repeat {
                    row += 1
                } while row < kept.count && kept[row] < run.rows.upperBound
                    && kept[row] == kept[row - 1] + 1
                keptRuns.append(
                    Run(
                        sequence: run.sequence, rows: first..<row,
                        firstPosition: run.firstPosition + kept[first] - run.rows.lowerBound,
                        length: run.length))
            }
        }
        precondition(row == kept.count, "rows in ascending order")
        return DecoderBatch(
            tokens: kept.map { tokens[$0] }, runs: keptRuns,
            adapterSegments: adapterSegments.compactMap { $0.packed(kept) })
    }
}
