// SPDX-License-Identifier: Apache-2.0
// The MLP, gated or not: one for all rows of a layer, or one of several experts.
import EftTensor

/// y = down(f(gate(x)) * up(x)), or down(f(up(x))) without a gate.
package struct MLP: Sendable {
    /// The products of x.
    package enum Factors: Sendable {
        /// No gate.
        case plain(Linear)
        /// A linear layer for each.
        case apart(gate: Linear, up: Linear)
        /// One linear layer whose value holds the gate and then the other factor.
        case fused(Linear)
    }

    /// f.
    package let activation: Activation
    /// The products of x.
    package let factors: Factors
    package let down: Linear

    /// Puts an MLP together.
    package init(activation: Activation, factors: Factors, down: Linear) {
        self.activation = activation
        self.factors = factors
        self.down = down
    }

    /// The linear layers of x.
    package var first: [Linear] {
        switch factors {
        case .plain(let linear), .fused(let linear): [linear]
        case .apart(let gate, let up): [gate, up]
        }
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { first + [down] }

    /// F.
    private var width: Int { down.weight.inputs }

    /// Where the inner values of some rows stand; the memory may be that of wider MLPs.
    func inner(_ matrix: Matrix, rows: Int) -> Matrix {
        matrix.narrowed(rows: rows, columns: width)
    }

    /// What the bias of the last product adds to the products of values and their gradients dy, row by row; nil without one.
    func biasProducts(_ dy: Matrix) -> [Float]? {
        guard let bias = down.bias else { return nil }
        let row = Matrix(sharing: bias, rows: 1, columns: dy.columns)
        return (0..<dy.rows).map { Mixture.dot(dy.rows($0..<$0 + 1), row) }
    }

    /// Fills what the last product and the backward pass need: the first products and what becomes of them.
    func activate(
        _ x: Matrix, _ acts: LayerActivations, _ pass: Pass, _ observer: DecoderLayer.Observer?
    ) throws {
        try observer?(first, x)
        let activated = inner(acts.activated, rows: x.rows)
        func place(_ matrix: Matrix) -> Matrix { inner(matrix, rows: x.rows) }
        switch factors {
        case .apart(let gate, let up):
            let isPlain = !acts.backward && gate.isPlain(pass) && up.isPlain(pass)
            let isDone =
                try isPlain
                && pass.backend.multiplyGated(
                    x, gate: gate.weight, up: up.weight, activation, into: activated,
                    scratch: acts.up(rows: x.rows, width: width))
            if !isDone { try activate(gate, up, x, acts, pass) }
        case .plain(let up):
            let u = place(acts.gate)
            try up.forward(x, into: u, pass)
            pass.backend.activate(activation, gate: u, up: nil, into: activated)
        case .fused(let linear):
            let both = acts.fusedFactors(x.rows, width: width)
            try linear.forward(x, into: both, pass)
            pass.backend.activate(activation, both: both, into: activated)
        }
        try observer?([down], activated)
    }

    /// Fills what the last product needs from both factors, in as many parts as the place of the second one asks for.
    private func activate(
        _ gate: Linear, _ up: Linear, _ x: Matrix, _ acts: LayerActivations, _ pass: Pass
    ) throws {
        let most = max(acts.up(rows: x.rows, width: width).rows, 1)
        let parts = (x.rows + most - 1) / most
        for part in 0..<parts {
            let rows = x.rows * part / parts..<x.rows * (part + 1) / parts
            let g = inner(acts.gate, rows: x.rows).rows(rows)
            let u = acts.up(rows: rows.count, width: width)
            try Linear.forward([gate, up], x.rows(rows), into: [g, u], pass.part(rows))
            pass.backend.activate(
                activation, gate: g, up: u, into: inner(acts.activated, rows: x.rows).rows(rows))
        }
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
        func place(_ matrix: Matrix) -> Matrix { inner(matrix, rows: x.rows) }
        let dActivated = inner(dActivated, rows: x.rows)
        try down.backward(
            inner(acts.activated, rows: x.rows), dy: dy, into: dActivated, accumulate: false, pass)
        switch factors {
        case .apart(let gate, let up):
            let (g, u) = (place(acts.gate), acts.up(rows: x.rows, width: width))
            pass.backend.activateBackward(
                activation, gate: g, up: u, dy: dActivated, dgate: g, dup: u)
            try gate.backward(x, dy: g, into: dx, accumulate: false, pass)
            try up.backward(x, dy: u, into: dx, accumulate: true, pass)
        case .plain(let up):
            let u = place(acts.gate)
            pass.backend.activateBackward(
                activation, gate: u, up: nil, dy: dActivated, dgate: u, dup: nil)
            try up.backward(x, dy: u, into: dx, accumulate: false, pass)
        case .fused(let linear):
            let both = acts.fusedFactors(x.rows, width: width)
            pass.backend.activateBackward(activation, both: both, dy: dActivated)
            try linear.backward(x, dy: both, into: dx, accumulate: false, pass)
        }
    }
}
