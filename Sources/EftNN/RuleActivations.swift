// SPDX-License-Identifier: Apache-2.0
// What layers have in common whose states change by the delta rule: linear attention and state-space layers.
import EftTensor

/// What the rule reads and gives.
final class RuleActivations: Sendable {
    /// What it reads.
    let rows: DeltaRows
    /// What it gives.
    let core: Matrix
    /// The states of a sequence that no cache keeps.
    let state: Buffer
    /// For the backward pass.
    let gradients: Gradients?

    /// Gradients of what the rule reads, and of what the layer's last product reads.
    struct Gradients: Sendable {
        let rows: DeltaRows
        let values: Matrix
        let scratch: Buffer
    }

    static func byteCount(rows: Int, _ rule: DeltaShape, backward: Bool) -> Int {
        let (keys, values) = (rule.keyHeads * rule.keyDim, rule.valueHeads * rule.valueDim)
        // Queries, keys, values, two gates of each head, and as much as the values.
        let numbers = 2 * keys + 2 * values + 2 * rule.valueHeads
        let scratch = backward ? rule.scratchFloats(rows: rows) : 0
        return (rows * numbers * (backward ? 2 : 1) + rule.stateFloats + scratch) * 4
    }

    init(
        rows: Int, _ rule: DeltaShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        func buffer(_ floats: Int) throws(TensorError) -> Buffer {
            try Buffer(
                byteCount: floats * 4, ledger: ledger, purpose: .activations, residency: residency)
        }
        let (keys, values) = (rule.keyHeads * rule.keyDim, rule.valueHeads * rule.valueDim)
        func deltaRows() throws(TensorError) -> DeltaRows {
            DeltaRows(
                query: try matrix(keys), key: try matrix(keys), value: try matrix(values),
                decay: try matrix(rule.valueHeads), strength: try matrix(rule.valueHeads))
        }
        self.rows = try deltaRows()
        core = try matrix(values)
        state = try buffer(rule.stateFloats)
        gradients =
            backward
            ? Gradients(
                rows: try deltaRows(), values: try matrix(values),
                scratch: try buffer(rule.scratchFloats(rows: rows))) : nil
    }
}

extension DecoderLayer {
    /// Computes what the rule gives of each sequence, and brings its states forward.
    func apply(_ rule: DeltaShape, _ acts: RuleActivations, _ state: LayerPass) {
        let places = state.cache.states(layer: index, batch: state.batch)
        for (run, place) in zip(state.batch.runs, places) {
            precondition(place != nil || run.firstPosition == 0, "a pass holds whole sequences")
            state.pass.backend.deltaRule(
                rule, acts.rows.rows(run.rows), into: acts.core.rows(run.rows),
                state: place ?? acts.state.floats, isFresh: run.firstPosition == 0)
        }
    }

    /// Fills the gradients of what the rule reads, from those of what it gives.
    func applyBackward(
        _ rule: DeltaShape, _ acts: RuleActivations, dout: Matrix, _ state: LayerPass
    ) {
        guard let gradients = acts.gradients else { return }
        for run in state.batch.runs {
            state.pass.backend.deltaRuleBackward(
                rule, acts.rows.rows(run.rows), dout: dout.rows(run.rows),
                into: gradients.rows.rows(run.rows), state: acts.state.floats,
                scratch: gradients.scratch)
        }
    }
}
