// SPDX-License-Identifier: Apache-2.0
// The gated MLP: one for all rows of a layer, or one of several experts.
import EftTensor

/// y = down(silu(gate(x)) * up(x)).
package struct GatedMLP: Sendable {
    package let gate: Linear
    package let up: Linear
    package let down: Linear

    /// Puts an MLP together.
    package init(gate: Linear, up: Linear, down: Linear) {
        self.gate = gate
        self.up = up
        self.down = down
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { [gate, up, down] }

    /// Fills what the last product and the backward pass need: gate, up and their product.
    func activate(
        _ x: Matrix, _ acts: LayerActivations, _ pass: Pass, _ observer: DecoderLayer.Observer?
    ) throws {
        let rows = 0..<x.rows
        try observer?([gate, up], x)
        let (g, u) = (acts.gate.rows(rows), acts.up.rows(rows))
        let activated = acts.activated.rows(rows)
        if !acts.backward, gate.isPlain(pass), up.isPlain(pass) {
            try pass.backend.multiplyGated(
                x, gate: gate.weight, up: up.weight, into: activated, scratch: u)
        } else {
            try Linear.forward([gate, up], x, into: [g, u], pass)
            pass.backend.swiglu(gate: g, up: u, into: activated)
        }
        try observer?([down], activated)
    }

    /// y (+)= the last product of what `activate` filled.
    func finish(
        into y: Matrix, accumulate: Bool, _ acts: LayerActivations, _ pass: Pass
    ) throws {
        try down.forward(acts.activated.rows(0..<y.rows), into: y, accumulate: accumulate, pass)
    }

    /// dx = the gradient of x, from the gradient of y; dx may be dy. `activate` of the same x must have come before.
    ///
    /// `dActivated` becomes the gradient of the product of gate and up, which stays as it is.
    func backward(
        _ x: Matrix, dy: Matrix, into dx: Matrix, dActivated: Matrix, _ acts: LayerActivations,
        _ pass: Pass
    ) throws {
        let rows = 0..<x.rows
        let (g, u) = (acts.gate.rows(rows), acts.up.rows(rows))
        try down.backward(
            acts.activated.rows(rows), dy: dy, into: dActivated, accumulate: false, pass)
        pass.backend.swigluBackward(gate: g, up: u, dy: dActivated, dgate: g, dup: u)
        try gate.backward(x, dy: g, into: dx, accumulate: false, pass)
        try up.backward(x, dy: u, into: dx, accumulate: true, pass)
    }
}
