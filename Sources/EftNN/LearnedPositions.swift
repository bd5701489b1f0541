// SPDX-License-Identifier: Apache-2.0
// A learned vector for each position, which is added to the embeddings.
import EftTensor

/// A table of a row for each position (GPT-2, OPT): positions beyond it have none.
/// Changed only while a model is put together, hence unchecked.
package final class LearnedPositions: @unchecked Sendable {
    /// The table's path in the checkpoint, with `.weight`.
    package let name: String
    /// The rows `[positions][C]`.
    package let table: Matrix
    /// The row of position 0.
    package let first: Int
    /// The trainable view, in full training.
    package private(set) var parameter: Parameter?

    /// Wraps a table.
    package init(name: String, table: Matrix, first: Int) {
        self.name = name
        self.table = table
        self.first = first
    }

    /// Takes memory for the gradient.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package func makeTrainable(ledger: MemoryLedger?) throws(TensorError) {
        parameter = try Parameter(name: name, matrix: table, ledger: ledger)
    }

    /// Adds the rows of a batch's positions to its embeddings `[T][C]`.
    package func add(to hidden: Matrix, _ batch: DecoderBatch) {
        forEachRow(batch) { row, place in
            let source = table.pointer + place * table.columns
            let target = hidden.pointer + row * hidden.columns
            for column in 0..<table.columns { target[column] += source[column] }
        }
    }

    /// Adds the gradient `[T][C]` of a batch's embeddings to that of the table.
    package func addGradient(_ gradient: Matrix, _ batch: DecoderBatch) {
        guard let sums = parameter?.activeGradient else { return }
        forEachRow(batch) { row, place in
            let source = gradient.pointer + row * gradient.columns
            let target = sums.floats + place * table.columns
            for column in 0..<table.columns { target[column] += source[column] }
        }
    }

    private func forEachRow(_ batch: DecoderBatch, _ body: (_ row: Int, _ place: Int) -> Void) {
        for run in batch.runs {
            precondition(
                first + run.firstPosition + run.rows.count <= table.rows, "beyond the table")
            for (offset, row) in run.rows.enumerated() {
                body(row, first + run.firstPosition + offset)
            }
        }
    }
}
