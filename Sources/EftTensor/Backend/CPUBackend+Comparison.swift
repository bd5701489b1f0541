// SPDX-License-Identifier: Apache-2.0
// Comparing a model with a reference on the CPU.
import CEftKernels

extension CPUBackend {
    package func divergence(
        reference: Matrix, logits: Matrix, labels: ArraySlice<Int32>
    ) -> [RowDivergence] {
        precondition(reference.rows == logits.rows && reference.columns == logits.columns)
        precondition(labels.count == logits.rows)
        precondition(labels.allSatisfy { Int($0) < logits.columns }, "label beyond the vocabulary")
        var rows = [eft_divergence_row](repeating: eft_divergence_row(), count: logits.rows)
        labels.withUnsafeBufferPointer { labels in
            eft_divergence(
                context, logits.rows, logits.columns, reference.pointer, reference.columns,
                logits.pointer, logits.columns, labels.baseAddress, &rows)
        }
        return rows.map { row in
            RowDivergence(
                divergence: row.divergence, referenceLoss: row.reference_loss, loss: row.loss,
                sameBest: row.same_best,
                commonBest: Double(row.common_best) / Double(max(row.best_count, 1)))
        }
    }

    package func difference(reference: Matrix, _ other: Matrix) -> StateDifference {
        precondition(reference.rows == other.rows && reference.columns == other.columns)
        var rows = [eft_difference_row](repeating: eft_difference_row(), count: other.rows)
        eft_difference(
            context, other.rows, other.columns, reference.pointer, reference.columns,
            other.pointer, other.columns, &rows)
        var sum = StateDifference()
        for row in rows {
            sum.difference += row.difference
            sum.square += row.square
        }
        return sum
    }
}
