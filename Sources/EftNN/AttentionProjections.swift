// SPDX-License-Identifier: Apache-2.0
// The products that attention begins with: one for queries, keys and values each, or one for all.
import EftTensor

/// In what order one product holds queries, keys and values.
package enum FusedOrder: Sendable, Hashable {
    /// All queries, all keys, all values.
    case blocks
    /// For each head of keys: the queries that share it, the key, the value.
    case groups
}

/// Queries, keys and values from the same input.
package enum AttentionProjections: Sendable {
    /// A linear layer for each.
    case apart(query: Linear, key: Linear, value: Linear)
    /// One linear layer whose value holds all.
    case fused(Linear, FusedOrder)
    /// From a short vector of each row.
    case latent(LatentProjections)
    /// Of linear attention, which has a state in the place of keys and values.
    case linear(LinearAttention)
    /// Of a short convolution, whose last rows take the place of keys and values.
    case convolution(ShortConvolution)
    /// Of a state-space layer, which has a state in the place of keys and values.
    case space(StateSpace)

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] {
        switch self {
        case .apart(let query, let key, let value): [query, key, value]
        case .fused(let linear, _): [linear]
        case .latent(let latent): latent.linears
        case .linear(let linear): linear.linears
        case .convolution(let convolution): [convolution.product]
        case .space(let space): [space.product]
        }
    }

    /// The linear layers, those together that read the same; the first ones read the states.
    package var stages: [[Linear]] {
        if case .latent(let latent) = self { return latent.stages }
        return [linears]
    }

    /// The norms between them.
    var norms: [Norm] {
        switch self {
        case .latent(let latent): latent.norms
        case .linear(let linear): [linear.norm]
        case .space(let space): [space.norm]
        case .apart, .fused, .convolution: []
        }
    }

    /// What is neither a linear layer nor a norm.
    var vectors: [TrainedVector] {
        switch self {
        case .linear(let linear): linear.vectors
        case .convolution(let convolution): [convolution.convolution]
        case .space(let space): space.vectors
        case .apart, .fused, .latent: []
        }
    }
}

/// Queries, keys and values of some rows, or their gradients.
struct HeadMatrices {
    let query: Matrix
    let key: Matrix
    let value: Matrix
}

/// Moves heads between one matrix that holds all and one for each.
struct HeadSplit {
    private let groups: Int
    /// Columns of queries, and of keys, in a group.
    private let queries: Int
    private let keys: Int

    init(_ shape: DecoderShape, _ order: FusedOrder) {
        groups = order == .blocks ? 1 : shape.kvHeads
        queries = shape.queryWidth / groups
        keys = shape.keyWidth / groups
    }

    /// Takes the whole apart.
    func split(_ whole: Matrix, into heads: HeadMatrices) {
        forEachPiece(whole, heads) { whole, part, count in part.update(from: whole, count: count) }
    }

    /// Puts the whole together.
    func join(_ heads: HeadMatrices, into whole: Matrix) {
        forEachPiece(whole, heads) { whole, part, count in whole.update(from: part, count: count) }
    }

    private func forEachPiece(
        _ whole: Matrix, _ heads: HeadMatrices,
        _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    ) {
        for row in 0..<whole.rows {
            var source = whole.pointer + row * whole.columns
            for group in 0..<groups {
                for (part, width) in [
                    (heads.query, queries), (heads.key, keys), (heads.value, keys),
                ] {
                    body(source, part.pointer + row * part.columns + group * width, width)
                    source += width
                }
            }
        }
    }
}

extension DecoderLayer {
    /// Computes queries, keys and values of `input`.
    func project(
        _ input: Matrix, into heads: HeadMatrices, _ state: LayerPass, _ observer: Observer? = nil
    ) throws {
        switch projections {
        case .linear, .convolution, .space:
            preconditionFailure("what keeps a state has no keys")
        case .latent(let latent): try project(latent, input, into: heads, state, observer)
        case .apart(let query, let key, let value) where shape.gatesValues:
            let rows = 0..<input.rows
            guard let gate = gatedValues(state)?.gate.rows(rows) else { return }
            let whole = state.activations.gatedQueries(input.rows, shape)
            try Linear.forward(
                [query, key, value], input, into: [whole, heads.key, heads.value], state.pass)
            split(whole, into: heads.query, gate)
        case .apart(let query, let key, let value):
            try Linear.forward(
                [query, key, value], input, into: [heads.query, heads.key, heads.value],
                state.pass)
        case .fused(let linear, let order):
            let whole = state.activations.fusedHeads(input.rows, shape)
            try linear.forward(input, into: whole, state.pass)
            HeadSplit(shape, order).split(whole, into: heads)
        }
    }

    /// dInput = the gradient of the input, from those of queries, keys and values.
    func projectBackward(
        _ input: Matrix, _ gradients: HeadMatrices, into dInput: Matrix, _ state: LayerPass
    ) throws {
        let pass = state.pass
        switch projections {
        case .latent(let latent):
            try projectBackward(latent, input, gradients, into: dInput, state)
        case .linear, .convolution, .space:
            preconditionFailure("what keeps a state has no keys")
        case .apart(let query, let key, let value):
            var dq = gradients.query
            if let gated = gatedValues(state) {
                dq = state.activations.gatedQueries(input.rows, shape)
                join(gradients.query, gated.gate.rows(0..<input.rows), into: dq)
            }
            try query.backward(input, dy: dq, into: dInput, accumulate: false, pass)
            try key.backward(input, dy: gradients.key, into: dInput, accumulate: true, pass)
            try value.backward(input, dy: gradients.value, into: dInput, accumulate: true, pass)
        case .fused(let linear, let order):
            let whole = state.activations.fusedHeads(input.rows, shape)
            HeadSplit(shape, order).join(gradients, into: whole)
            try linear.backward(input, dy: whole, into: dInput, accumulate: false, pass)
        }
    }
}
