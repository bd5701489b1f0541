// SPDX-License-Identifier: Apache-2.0
// The memory of a forward pass, stated before it is taken.
import EftNN
import EftTensor

/// What a forward pass needs besides weights and cache.
package struct DecoderWorkspaceNeed: Sendable, Hashable {
    /// Most rows of a batch.
    package var rows: Int
    /// Most rows of logits asked for at once; 0 when only losses are computed.
    package var logitRows: Int
    /// Highest rank of an adapter.
    package var adapterRank: Int
    /// Most inputs of a layer whose adapter uses dropout (training only).
    package var droppedInputs: Int
    /// Whether a backward pass follows.
    package var backward: Bool

    /// States a need.
    package init(
        rows: Int, logitRows: Int, adapterRank: Int = 0, droppedInputs: Int = 0,
        backward: Bool = false
    ) {
        self.rows = rows
        self.logitRows = logitRows
        self.adapterRank = adapterRank
        self.droppedInputs = droppedInputs
        self.backward = backward
    }

    var adapterNeed: AdapterScratch.Need {
        AdapterScratch.Need(
            rows: rows, rank: adapterRank, droppedInputs: droppedInputs, backward: backward)
    }

    /// Bytes of activations that the workspace will take.
    package func byteCount(_ description: DecoderDescription) -> Int {
        let shape = description.shape
        let floats =
            rows * (shape.hidden + shape.headDim) + logitRows
            * (shape.hidden + description.vocabulary)
        return floats * 4 + adapterNeed.byteCount
            + LayerActivations.byteCount(rows: rows, shape: shape, backward: backward)
    }
}

/// Matrices that every pass of a decoder fills again.
package final class DecoderWorkspace: Sendable {
    /// Most rows of a batch.
    package let rows: Int
    let hidden: Matrix
    let cosines: Matrix
    let sines: Matrix
    let selected: Matrix
    let logits: Matrix
    let activations: LayerActivations
    let adapterScratch: AdapterScratch

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        _ need: DecoderWorkspaceNeed, description: DecoderDescription, backend: any Backend
    ) throws(TensorError) {
        let ledger = backend.ledger
        let shape = description.shape
        rows = need.rows
        hidden = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        cosines = try Matrix(rows: need.rows, columns: shape.headDim / 2, ledger: ledger)
        sines = try Matrix(rows: need.rows, columns: shape.headDim / 2, ledger: ledger)
        selected = try Matrix(rows: need.logitRows, columns: shape.hidden, ledger: ledger)
        logits = try Matrix(rows: need.logitRows, columns: description.vocabulary, ledger: ledger)
        activations = try LayerActivations(
            rows: need.rows, shape: shape, backward: need.backward, ledger: ledger)
        adapterScratch = try AdapterScratch(backend: backend, need: need.adapterNeed)
    }
}
