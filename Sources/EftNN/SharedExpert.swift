// SPDX-License-Identifier: Apache-2.0
// The MLP that acts on all rows beside a mixture's experts.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// y += weight * mlp(x), the weight being a sigmoid of x in some models, else 1.
package struct SharedExpert: Sendable {
    package let mlp: MLP
    /// C inputs, one output; nil where the weight is 1.
    package let gate: Linear?

    /// Puts it together.
    package init(mlp: MLP, gate: Linear?) {
        precondition(gate.map { $0.weight.outputs == 1 } ?? true)
        self.mlp = mlp
        self.gate = gate
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { (gate.map { [$0] } ?? []) + mlp.linears }

    private static func sigmoid(_ x: Float) -> Float { 1 / (1 + expf(-x)) }

    /// The weights of the rows of x, whose logits are filled.
    private func weights(
        _ x: Matrix, _ own: MixtureActivations, _ pass: Pass
    ) throws -> [Float]? {
        guard let gate, let logits = own.sharedLogit?.rows(0..<x.rows) else { return nil }
        try gate.forward(x, into: logits, pass)
        return logits.array.map(SharedExpert.sigmoid)
    }

    /// y += the value of x.
    func add(
        _ x: Matrix, to y: Matrix, _ own: MixtureActivations, _ acts: LayerActivations,
        _ pass: Pass, _ observer: DecoderLayer.Observer?
    ) throws {
        let weights = try weights(x, own, pass)
        try mlp.activate(x, acts, pass, observer)
        guard let weights else { return try mlp.finish(into: y, accumulate: true, acts, pass) }
        let value = own.value.rows(0..<x.rows)
        try mlp.finish(into: value, accumulate: false, acts, pass)
        for (row, weight) in weights.enumerated() {
            pass.backend.addScaled(
                value.rows(row..<row + 1), factor: weight, to: y.rows(row..<row + 1))
        }
    }

    /// Shows an observer the inputs of the linear layers for x.
    func observe(
        _ x: Matrix, _ acts: LayerActivations, _ pass: Pass, _ observer: DecoderLayer.Observer
    ) throws {
        try withoutActuallyEscaping(observer) { try mlp.activate(x, acts, pass, $0) }
    }

    /// dx += the gradient of x, from the gradient dy of the value, and adds to the gradients of what is trainable.
    func backward(
        _ x: Matrix, dy: Matrix, addingTo dx: Matrix, dActivated: Matrix,
        _ own: MixtureActivations, _ acts: LayerActivations, _ pass: Pass
    ) throws {
        let (rows, backend) = (0..<x.rows, pass.backend)
        let weights = try weights(x, own, pass)
        try mlp.activate(x, acts, pass, nil)
        let gradient = own.value.rows(rows)
        gradient.pointer.update(from: dy.pointer, count: dy.count)
        for (row, weight) in (weights ?? []).enumerated() {
            backend.scale(gradient.rows(row..<row + 1), by: weight)
        }
        let activated = mlp.inner(acts.activated, rows: x.rows)
        let biased = mlp.biasProducts(gradient)
        try mlp.backward(x, dy: gradient, into: gradient, dActivated: dActivated, acts, pass)
        backend.addScaled(gradient, factor: 1, to: dx)
        guard let gate, let weights, let logits = own.sharedLogit?.rows(rows) else { return }
        let dInner = mlp.inner(dActivated, rows: x.rows)
        // The last product is linear: the weight's gradient times the weight needs no value of the MLP.
        for (row, weight) in weights.enumerated() {
            let product = Mixture.dot(
                dInner.rows(row..<row + 1), activated.rows(row..<row + 1))
            logits.pointer[row] = (product + (biased?[row] ?? 0)) * (1 - weight)
        }
        try gate.backward(x, dy: logits, into: dx, accumulate: true, pass)
    }
}
