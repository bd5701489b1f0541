// SPDX-License-Identifier: Apache-2.0
// A decoder layer whose forward pass stands still before linear layers that are not made yet.
import EftTensor

/// Where a layer's forward pass can stand still: before linear layers that share their input.
package enum LayerPause: Sendable, Hashable {
    /// Before the products that attention begins with; latent attention has several stages of them.
    case projections(Int)
    /// Before attention's last product.
    case output
    /// Before the first products of what follows attention.
    case feedForward
    /// Before the last product of the MLP, or of the one that acts on all rows beside experts.
    case last
}

/// The pass in pieces, from pause to pause. What a piece leaves may be taken away and brought back, so that many rows can wait
/// at a pause: x or what stands before the MLP, and what attention and the first products made. No backward pass can follow.
extension DecoderLayer {
    private struct Reached: Error {}

    /// What a stage of attention's first products reads, for x `[T][C]`; the stages before it are computed.
    package func projectionInput(
        _ stage: Int, _ x: Matrix, _ state: LayerPass
    ) throws -> Matrix {
        let input = attentionInput(x, state)
        guard stage > 0 else { return input }
        let (acts, rows, wanted) = (state.activations, 0..<x.rows, projections.stages[stage])
        let heads = HeadMatrices(
            query: acts.query.rows(rows), key: acts.key.rows(rows), value: acts.value.rows(rows))
        var found: Matrix?
        do {
            try project(input, into: heads, state) { linears, input in
                guard linears.first === wanted.first else { return }
                found = input
                throw Reached()
            }
        } catch is Reached {}
        guard let found else { preconditionFailure("a stage that attention does not have") }
        return found
    }

    /// What attention's last product reads, for x `[T][C]`.
    package func attend(_ x: Matrix, _ state: LayerPass) throws -> Matrix {
        try weigh(x, state, nil)
        return attended(x.rows, state)
    }

    /// The place of what `attend` made.
    package func attended(_ rows: Int, _ state: LayerPass) -> Matrix {
        outputInput(0..<rows, state)
    }

    /// Adds attention's value to x, from what `attend` made; a parallel layer adds it in the end.
    package func addAttended(to x: Matrix, _ state: LayerPass) throws {
        try addAttention(x, into: x, state)
    }

    /// What the first products behind attention read.
    /// - Parameter middle: x with attention's value; x itself in a parallel layer.
    package func feedForwardInput(_ middle: Matrix, _ state: LayerPass) -> Matrix {
        normShared(middle, state)
        return normedFeedForward(middle, state)
    }

    /// The MLP that acts on all rows; nil where there are only experts.
    private var commonMLP: MLP? {
        switch feedForward {
        case .mlp(let mlp): mlp
        case .mixture(let mixture): mixture.shared?.mlp
        }
    }

    /// What the last product of the MLP that acts on all rows reads.
    package func activate(_ middle: Matrix, _ state: LayerPass) throws -> Matrix {
        let input = feedForwardInput(middle, state)
        guard let mlp = commonMLP else { preconditionFailure("experts alone have no such product") }
        try mlp.activate(input, state.activations, state.pass, nil)
        return mlp.inner(state.activations.activated, rows: middle.rows)
    }

    /// The place of what `activate` made for `finish`; nil with experts, which compute again.
    package func activated(_ rows: Int, _ state: LayerPass) -> Matrix? {
        guard case .mlp(let mlp) = feedForward else { return nil }
        return mlp.inner(state.activations.activated, rows: rows)
    }

    /// Turns what stands before the MLP into the layer's value, from what `activate` made; a parallel layer's x, from what
    /// `attend` made too.
    package func finish(_ middle: Matrix, _ state: LayerPass) throws {
        if shape.isParallel { try projectBranch(0..<middle.rows, state) }
        var input = middle
        if case .mixture = feedForward {
            normShared(middle, state)
            input = try prepareFeedForward(middle, state, nil)
        }
        if shape.isParallel { add(.attention, to: middle, state) }
        try addFeedForward(middle, input, into: middle, state, nil)
    }
}
