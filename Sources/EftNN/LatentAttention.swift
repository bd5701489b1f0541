// SPDX-License-Identifier: Apache-2.0
// Latent attention: keys and values of all heads are made from one short vector of each row (DeepSeek 2).
import EftTensor

/// The widths of latent attention. A head of queries and keys has numbers that stand still, then those that rotate, which
/// all heads of keys have in common.
package struct LatentShape: Sendable, Hashable {
    /// Numbers of the vector that queries are made from; nil where they are made from the states.
    package var queryRank: Int?
    /// Numbers of the vector that keys and values are made from.
    package var rank: Int
    /// Numbers of a head of queries and keys that rotate, its last ones.
    package var rotated: Int
    /// Numbers of a head's value, no more than a head of keys has.
    package var valueDim: Int

    /// States widths.
    package init(queryRank: Int?, rank: Int, rotated: Int, valueDim: Int) {
        self.queryRank = queryRank
        self.rank = rank
        self.rotated = rotated
        self.valueDim = valueDim
    }
}

extension DecoderShape {
    /// Numbers of a head of queries and keys before those that rotate; 0 where the first ones rotate.
    var still: Int { latent.map { headDim - $0.rotated } ?? 0 }

    /// Numbers of the values of all heads, which the output's product reads.
    package var valueWidth: Int { latent.map { heads * $0.valueDim } ?? queryWidth }

    /// Numbers of what makes keys and values of all heads, without those of keys that rotate.
    package var expandedWidth: Int { latent.map { heads * (still + $0.valueDim) } ?? 0 }
}

/// The products and norms of latent attention.
package struct LatentProjections: Sendable {
    /// How queries are made.
    package enum Query: Sendable {
        /// From the states.
        case direct(Linear)
        /// From a short vector, which is normed.
        case throughVector(down: Linear, norm: Norm, up: Linear)
    }

    let query: Query
    /// Makes the vector of keys and values, and the numbers of keys that rotate.
    let down: Linear
    let norm: Norm
    /// Makes keys and values of all heads.
    let up: Linear

    /// Puts the parts together.
    package init(query: Query, down: Linear, norm: Norm, up: Linear) {
        self.query = query
        self.down = down
        self.norm = norm
        self.up = up
    }

    /// The linear layers by what they read: the states, the vector of queries, that of keys and values.
    var stages: [[Linear]] {
        switch query {
        case .direct(let linear): [[linear, down], [up]]
        case .throughVector(let first, _, let second): [[first, down], [second], [up]]
        }
    }

    /// The linear layers in the order in which they are asked for.
    var linears: [Linear] {
        switch query {
        case .direct(let linear): [linear, down, up]
        case .throughVector(let first, _, let second): [first, second, down, up]
        }
    }

    /// The norms in the order in which they are asked for.
    var norms: [Norm] {
        switch query {
        case .direct: [norm]
        case .throughVector(_, let first, _): [first, norm]
        }
    }
}

/// What latent attention computes on the way.
final class LatentActivations: Sendable {
    /// The vector of queries, and normed; nil where queries are made from the states.
    let query: Matrix?
    let normedQuery: Matrix?
    /// The vector of keys and values with the numbers of keys that rotate; their gradient in the backward pass.
    let down: Matrix
    /// That vector alone, and normed.
    let plain: Matrix
    let normed: Matrix
    /// Keys and values of all heads; their gradient in the backward pass.
    let expanded: Matrix
    /// Attention's values without the numbers that fill their heads up.
    let values: Matrix
    /// Gradients of a normed vector, and of `values`.
    let vectorGradient: Matrix?
    let valueGradient: Matrix?

    static func byteCount(rows: Int, _ shape: DecoderShape, backward: Bool) -> Int {
        guard let latent = shape.latent else { return 0 }
        let query = latent.queryRank ?? 0
        let kept = backward ? max(query, latent.rank) + shape.valueWidth : 0
        return rows * 4
            * (2 * query + 3 * latent.rank + latent.rotated + shape.expandedWidth
                + shape.valueWidth + kept)
    }

    init?(
        rows: Int, _ shape: DecoderShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        guard let latent = shape.latent else { return nil }
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        query = latent.queryRank == nil ? nil : try matrix(latent.queryRank ?? 0)
        normedQuery = latent.queryRank == nil ? nil : try matrix(latent.queryRank ?? 0)
        down = try matrix(latent.rank + latent.rotated)
        plain = try matrix(latent.rank)
        normed = try matrix(latent.rank)
        expanded = try matrix(shape.expandedWidth)
        values = try matrix(shape.valueWidth)
        vectorGradient =
            backward ? try matrix(max(latent.queryRank ?? 0, latent.rank)) : nil
        valueGradient = backward ? try matrix(shape.valueWidth) : nil
    }
}

extension DecoderLayer {
    /// Where latent attention keeps what it computes.
    private func latentActivations(_ state: LayerPass) -> LatentActivations {
        guard let acts = state.activations.latent else {
            preconditionFailure("activations of another form of attention")
        }
        return acts
    }

    /// Computes queries, keys and values of `input`; keys and values stand in heads as wide as those of queries.
    func project(
        _ latent: LatentProjections, _ input: Matrix, into heads: HeadMatrices,
        _ state: LayerPass, _ observer: Observer?
    ) throws {
        let (acts, pass, rows) = (latentActivations(state), state.pass, 0..<input.rows)
        let down = acts.down.rows(rows)
        switch latent.query {
        case .direct(let linear):
            try Linear.forward([linear, latent.down], input, into: [heads.query, down], pass)
        case .throughVector(let first, let norm, let second):
            guard let plain = acts.query?.rows(rows), let normed = acts.normedQuery?.rows(rows)
            else { return }
            try Linear.forward([first, latent.down], input, into: [plain, down], pass)
            norm.forward(plain, into: normed, pass.backend)
            try observer?([second], normed)
            try second.forward(normed, into: heads.query, pass)
        }
        let (plain, normed) = (acts.plain.rows(rows), acts.normed.rows(rows))
        for row in rows {
            (plain.pointer + row * plain.columns).update(
                from: down.pointer + row * down.columns, count: plain.columns)
        }
        latent.norm.forward(plain, into: normed, pass.backend)
        try observer?([latent.up], normed)
        let expanded = acts.expanded.rows(rows)
        try latent.up.forward(normed, into: expanded, pass)
        spread(expanded, down, into: heads)
    }

    /// Puts keys and values into heads.
    private func spread(_ expanded: Matrix, _ down: Matrix, into heads: HeadMatrices) {
        guard let latent = shape.latent else { return }
        let (still, width) = (shape.still, shape.headDim)
        heads.value.zero()
        for row in 0..<expanded.rows {
            var source = expanded.pointer + row * expanded.columns
            let turning = down.pointer + row * down.columns + latent.rank
            for head in 0..<shape.heads {
                let place = row * heads.key.columns + head * width
                let key = heads.key.pointer + place
                key.update(from: source, count: still)
                (key + still).update(from: turning, count: latent.rotated)
                (heads.value.pointer + place).update(
                    from: source + still, count: latent.valueDim)
                source += still + latent.valueDim
            }
        }
    }

    /// From the gradients of keys and values in heads to those of what they were put together from.
    private func gather(_ heads: HeadMatrices, into expanded: Matrix, _ down: Matrix) {
        guard let latent = shape.latent else { return }
        let (still, width) = (shape.still, shape.headDim)
        for row in 0..<expanded.rows {
            var target = expanded.pointer + row * expanded.columns
            let turning = down.pointer + row * down.columns + latent.rank
            turning.update(repeating: 0, count: latent.rotated)
            for head in 0..<shape.heads {
                let place = row * heads.key.columns + head * width
                let key = heads.key.pointer + place
                target.update(from: key, count: still)
                for index in 0..<latent.rotated { turning[index] += key[still + index] }
                (target + still).update(
                    from: heads.value.pointer + place, count: latent.valueDim)
                target += still + latent.valueDim
            }
        }
    }

    /// dInput = the gradient of the input, from those of queries, keys and values.
    func projectBackward(
        _ latent: LatentProjections, _ input: Matrix, _ gradients: HeadMatrices,
        into dInput: Matrix, _ state: LayerPass
    ) throws {
        let (acts, pass, rows) = (latentActivations(state), state.pass, 0..<input.rows)
        guard let memory = acts.vectorGradient else { return }
        switch latent.query {
        case .direct(let linear):
            try linear.backward(input, dy: gradients.query, into: dInput, accumulate: false, pass)
        case .throughVector(let first, let norm, let second):
            guard let plain = acts.query?.rows(rows), let normed = acts.normedQuery?.rows(rows)
            else { return }
            let dVector = memory.narrowed(rows: input.rows, columns: plain.columns)
            try second.backward(
                normed, dy: gradients.query, into: dVector, accumulate: false, pass)
            norm.backward(plain, dy: dVector, into: dVector, accumulate: false, pass.backend)
            try first.backward(input, dy: dVector, into: dInput, accumulate: false, pass)
        }
        let (expanded, down) = (acts.expanded.rows(rows), acts.down.rows(rows))
        gather(gradients, into: expanded, down)
        let (plain, normed) = (acts.plain.rows(rows), acts.normed.rows(rows))
        let dVector = memory.narrowed(rows: input.rows, columns: plain.columns)
        try latent.up.backward(normed, dy: expanded, into: dVector, accumulate: false, pass)
        latent.norm.backward(plain, dy: dVector, into: dVector, accumulate: false, pass.backend)
        for row in rows {
            (down.pointer + row * down.columns).update(
                from: dVector.pointer + row * dVector.columns, count: dVector.columns)
        }
        try latent.down.backward(input, dy: down, into: dInput, accumulate: true, pass)
    }

    /// What the output's product reads of attention's values: weighed where the layer weighs them, in latent attention
    /// without what fills heads up.
    func outputInput(_ rows: Range<Int>, _ state: LayerPass) -> Matrix {
        let acts = state.activations
        let mixed =
            shape.mixer.map { mixer in
                switch mixer {
                case .delta: acts.linear?.values
                case .convolution: acts.convolution?.values
                case .space: acts.space?.values
                }
            } ?? nil
        return
            (mixed ?? gatedValues(state)?.values ?? acts.latent?.values ?? acts.attention)
            .rows(rows)
    }

    /// Takes away what fills heads of values up.
    func packValues(_ attended: Matrix, _ state: LayerPass) {
        guard let latent = shape.latent, let acts = state.activations.latent else { return }
        for row in 0..<attended.rows {
            for head in 0..<shape.heads {
                (acts.values.pointer + (row * shape.heads + head) * latent.valueDim).update(
                    from: attended.pointer + (row * shape.heads + head) * shape.headDim,
                    count: latent.valueDim)
            }
        }
    }

    /// From the gradient of the output's input to that of attention's values, of which what fills heads up has none.
    func unpackGradient(_ packed: Matrix, into gradient: Matrix) {
        guard let latent = shape.latent else { return }
        gradient.zero()
        for row in 0..<gradient.rows {
            for head in 0..<shape.heads {
                (gradient.pointer + (row * shape.heads + head) * shape.headDim).update(
                    from: packed.pointer + (row * shape.heads + head) * latent.valueDim,
                    count: latent.valueDim)
            }
        }
    }
}
