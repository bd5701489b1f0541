// SPDX-License-Identifier: Apache-2.0
// What one decoder layer computes on the way, in memory that is stated before it is taken.
import EftTensor

/// The matrices that a layer fills in its forward pass, and those that its backward pass needs besides.
///
/// One set serves every layer: the forward pass of generation writes over what is no longer needed, and training
/// computes a layer again before its backward pass.
package final class LayerActivations: Sendable {
    /// Whether a backward pass can follow.
    package let backward: Bool
    let normedInput: Matrix
    let query: Matrix
    let key: Matrix
    let value: Matrix
    let attention: Matrix
    let middle: Matrix
    let normedMiddle: Matrix
    let gate: Matrix
    let up: Matrix
    let activated: Matrix
    let logSumExp: Matrix?
    let gradients: Gradients?

    struct Gradients: Sendable {
        let normed: Matrix
        let attention: Matrix
        let query: Matrix
        let activated: Matrix
    }

    /// Floats for each row of a batch.
    private static func floatsPerRow(_ shape: DecoderShape, backward: Bool) -> Int {
        let forward =
            shape.hidden + 2 * shape.queryWidth + 2 * shape.keyWidth + 2 * shape.intermediate
        guard backward else { return forward }
        let kept = 2 * shape.hidden + shape.intermediate + shape.heads
        let gradients = shape.hidden + 2 * shape.queryWidth + shape.intermediate
        return forward + kept + gradients
    }

    /// All bytes for batches of at most `rows` rows.
    package static func byteCount(rows: Int, shape: DecoderShape, backward: Bool) -> Int {
        rows * floatsPerRow(shape, backward: backward) * 4
    }

    /// Allocates for batches of at most `rows` rows; `residual` is written over when no backward pass follows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        rows: Int, shape: DecoderShape, backward: Bool, ledger: MemoryLedger?
    ) throws(TensorError) {
        self.backward = backward
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger)
        }
        normedInput = try matrix(shape.hidden)
        query = try matrix(shape.queryWidth)
        key = try matrix(shape.keyWidth)
        value = try matrix(shape.keyWidth)
        attention = try matrix(shape.queryWidth)
        gate = try matrix(shape.intermediate)
        up = try matrix(shape.intermediate)
        if backward {
            middle = try matrix(shape.hidden)
            normedMiddle = try matrix(shape.hidden)
            activated = try matrix(shape.intermediate)
            logSumExp = try matrix(shape.heads)
            gradients = Gradients(
                normed: try matrix(shape.hidden), attention: try matrix(shape.queryWidth),
                query: try matrix(shape.queryWidth), activated: try matrix(shape.intermediate))
        } else {
            // Without a backward pass the MLP's input may replace the attention's, and its value the gate's.
            middle = normedInput
            normedMiddle = normedInput
            activated = gate
            logSumExp = nil
            gradients = nil
        }
    }
}
