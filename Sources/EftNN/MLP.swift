// SPDX-License-Identifier: Apache-2.0
// The MLP, gated or not: one for all rows of a layer, or one of several experts.
import EftTensor

/// y = down(f(gate(x)) * up(x)), or down(f(up(x))) without a gate.
package struct MLP: Sendable {
    /// f.
    package let activation: Activation
    package let gate: Linear?
    package let up: Linear
    package let down: Linear

    /// Puts an MLP together.
    package init(activation: Activation, gate: Linear?, up: Linear, down: Linear) {
        self.activation = activation
        self.gate = gate
        self.up = up
        self.down = down
    }

    /// The linear layers of x.
    package var first: [Linear] { (gate.map { [$0] } ?? []) + [up] }
    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { first + [down] }

    /// F.
    private var width: Int { up.weight.outputs }

    /// Where the inner values of some rows stand; the memory may be that of wider MLPs.
    func inner(_ matrix: Matrix, rows: Int) -> Matrix {
        matrix.narrowed(rows: rows, columns: width)
    }

    /// Fills what the last product and the backward pass need: the first products and what becomes of them.
    func activate(
        _ x: Matrix, _ acts: LayerActivations, _ pass: Pass, _ observer: DecoderLayer.Observer?
    ) throws {
        try observer?(first, x)
        let (g, u) = (inner(acts.gate, rows: x.rows), inner(acts.up, rows: x.rows))
        let activated = inner(acts.activated, rows: x.rows)
        if let gate {
            if !acts.backward, gate.isPlain(pass), up.isPlain(pass) {
                try pass.backend.multiplyGated(
                    x, gate: gate.weight, up: up.weight, activation, into: activated, scratch: u)
            } else {
                try Linear.forward([gate, up], x, into: [g, u], pass)
                pass.backend.activate(activation, gate: g, up: u, into: activated)
            }
        } else {
            try up.forward(x, into: u, pass)
            pass.backend.activate(activation, gate: u, up: nil, into: activated)
        }
        try observer?([down], activated)
    }

    /// y (+)= the last product of what `activate` filled.
    func finish(
        into y: Matrix, accumulate: Bool, _ acts: LayerActivations, _ pass: Pass
    ) throws {
        try down.forward(
            inner(acts.activated, rows: y.rows), into: y, accumulate: accumulate, pass)
    }

    /// dx = the gradient of x, from the gradient of y; dx may be dy. `activate` of the same x must have come before.
    ///
    /// `dActivated` holds the gradient of the last product's input afterwards (`inner`), which stays as it is.
    func backward(
        _ x: Matrix, dy: Matrix, into dx: Matrix, dActivated: Matrix, _ acts: LayerActivations,
        _ pass: Pass
    ) throws {
        let (g, u) = (inner(acts.gate, rows: x.rows), inner(acts.up, rows: x.rows))
        let dActivated = inner(dActivated, rows: x.rows)
        try down.backward(
            inner(acts.activated, rows: x.rows), dy: dy, into: dActivated, accumulate: false, pass)
        if let gate {
            pass.backend.activateBackward(
                activation, gate: g, up: u, dy: dActivated, dgate: g, dup: u)
            try gate.backward(x, dy: g, into: dx, accumulate: false, pass)
        } else {
            pass.backend.activateBackward(
                activation, gate: u, up: nil, dy: dActivated, dgate: u, dup: nil)
        }
        try up.backward(x, dy: u, into: dx, accumulate: gate != nil, pass)
    }
}
