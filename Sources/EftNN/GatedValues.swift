// SPDX-License-Identifier: Apache-2.0
// Attention whose values sigmoids weigh before the last product (Qwen 3 Next).
import EftTensor

/// Where gates of attention's values stand.
final class GatedValues: Sendable {
    /// Gates `[T][H * D]`; their gradient in the backward pass.
    let gate: Matrix
    /// Weighed values: a place of their own when a backward pass follows.
    let values: Matrix
    /// The gradient of weighed values.
    let gradient: Matrix?

    static func byteCount(rows: Int, _ shape: DecoderShape, backward: Bool) -> Int {
        shape.gatesValues ? rows * shape.queryWidth * 4 * (backward ? 3 : 1) : 0
    }

    init?(
        rows: Int, _ shape: DecoderShape, attention: Matrix, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        guard shape.gatesValues else { return nil }
        func matrix() throws(TensorError) -> Matrix {
            try Matrix(
                rows: rows, columns: shape.queryWidth, ledger: ledger, residency: residency)
        }
        gate = try matrix()
        values = backward ? try matrix() : attention
        gradient = backward ? try matrix() : nil
    }
}

extension DecoderLayer {
    /// Where the weighed values stand, in layers that weigh them.
    func gatedValues(_ state: LayerPass) -> GatedValues? {
        shape.gatesValues ? state.activations.gated : nil
    }

    /// Computes queries of `input`, and the gates that stand behind those of each head.
    func projectQueries(
        _ query: Linear, _ input: Matrix, into q: Matrix, _ state: LayerPass
    ) throws {
        guard let gated = gatedValues(state) else {
            return try query.forward(input, into: q, state.pass)
        }
        let whole = state.activations.gatedQueries(input.rows, shape)
        try query.forward(input, into: whole, state.pass)
        split(whole, into: q, gated.gate)
    }

    /// Takes queries and gates apart.
    func split(_ whole: Matrix, into q: Matrix, _ gate: Matrix) {
        forEachHead(whole, q, gate) { whole, part, count in part.update(from: whole, count: count) }
    }

    /// Puts queries and gates together.
    func join(_ q: Matrix, _ gate: Matrix, into whole: Matrix) {
        forEachHead(whole, q, gate) { whole, part, count in whole.update(from: part, count: count) }
    }

    private func forEachHead(
        _ whole: Matrix, _ q: Matrix, _ gate: Matrix,
        _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    ) {
        let width = shape.headDim
        for head in 0..<whole.rows * shape.heads {
            body(whole.pointer + 2 * head * width, q.pointer + head * width, width)
            body(whole.pointer + (2 * head + 1) * width, gate.pointer + head * width, width)
        }
    }

    /// Weighs attention's values.
    func weighValues(_ attended: Matrix, _ state: LayerPass) {
        guard let gated = gatedValues(state) else { return }
        let rows = 0..<attended.rows
        state.pass.backend.activate(
            .sigmoid, gate: gated.gate.rows(rows), up: attended, into: gated.values.rows(rows))
    }

    /// From the gradient of weighed values to that of attention's; gates become their gradient.
    func weighBackward(_ attended: Matrix, into gradient: Matrix, _ state: LayerPass) {
        guard let gated = gatedValues(state), let dy = gated.gradient else { return }
        let rows = 0..<attended.rows
        let gate = gated.gate.rows(rows)
        state.pass.backend.activateBackward(
            .sigmoid, gate: gate, up: attended, dy: dy.rows(rows), dgate: gate, dup: gradient)
    }
}
