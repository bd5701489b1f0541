// SPDX-License-Identifier: Apache-2.0
// One layer of a decoder: attention and a gated MLP or a mixture of such, each behind a norm and added to the residual stream.
import EftTensor

/// One decoder layer of the Llama form, forward and backward.
///
/// Changed only while a model is put together, hence unchecked.
package final class DecoderLayer: @unchecked Sendable {
    /// The layer's number, from 0.
    package let index: Int
    /// Extents.
    package let shape: DecoderShape
    /// The norm before attention, and its weight's parameter in full training.
    package let inputNorm: Norm
    /// The norms of each head of queries and of keys before they are rotated, in models that have them.
    package let headNorms: HeadNorms?
    /// The norm before the MLP.
    package let middleNorm: Norm
    package let query: Linear
    package let key: Linear
    package let value: Linear
    package let output: Linear
    /// What follows attention.
    package let feedForward: FeedForward

    /// What follows attention in a layer.
    package enum FeedForward: Sendable {
        /// One MLP for all rows.
        case mlp(GatedMLP)
        /// Experts among which each row chooses.
        case mixture(Mixture)

        /// The linear layers, in the order of the computation.
        package var linears: [Linear] {
            switch self {
            case .mlp(let mlp): mlp.linears
            case .mixture(let mixture): mixture.linears
            }
        }
    }

    /// Puts a layer together.
    package init(
        index: Int, shape: DecoderShape, inputNorm: Norm, headNorms: HeadNorms? = nil,
        middleNorm: Norm, query: Linear, key: Linear, value: Linear, output: Linear,
        feedForward: FeedForward
    ) {
        precondition(shape.normsHeads == (headNorms != nil), "norms of heads as the shape says")
        self.index = index
        self.shape = shape
        self.inputNorm = inputNorm
        self.headNorms = headNorms
        self.middleNorm = middleNorm
        self.query = query
        self.key = key
        self.value = value
        self.output = output
        self.feedForward = feedForward
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { [query, key, value, output] + feedForward.linears }
    /// The norms, in the order of the computation.
    package var norms: [Norm] {
        [inputNorm] + (headNorms.map { [$0.query, $0.key] } ?? []) + [middleNorm]
    }

    /// Sees the inputs of linear layers as they are computed; calibration collects them.
    package typealias Observer = (_ layers: [Linear], _ input: Matrix) throws -> Void

    // MARK: Forward

    /// Computes the layer's value of x `[T][C]` into `out`, which may be x when no backward pass follows.
    package func forward(
        _ x: Matrix, into out: Matrix, _ state: LayerPass, observer: Observer? = nil
    ) throws {
        let acts = state.activations
        let middle = acts.backward ? acts.middle.rows(0..<x.rows) : out
        try attend(x, into: middle, state, observer)
        try feedForward(middle, into: out, state, observer)
    }

    /// Attention with its residual, or what follows it with its own.
    package enum Half: Sendable {
        case attention, feedForward
    }

    /// Computes the value of one half of the layer of x `[T][C]` into `out`, which may be x. No backward pass can follow.
    package func forward(
        _ half: Half, _ x: Matrix, into out: Matrix, _ state: LayerPass
    ) throws {
        switch half {
        case .attention: try attend(x, into: out, state, nil)
        case .feedForward: try feedForward(x, into: out, state, nil)
        }
    }

    /// Computes the layer's value in place for the rows of x alone that are still to be seen by anyone, in ascending order:
    /// x becomes `[kept.count][C]`. Keys and values are written for all rows. No backward pass can follow.
    package func forwardLast(_ x: Matrix, keeping kept: [Int], _ state: LayerPass) throws {
        let acts = state.activations
        precondition(!acts.backward, "rows that are left out have no gradient")
        let (rows, keptRows) = (0..<x.rows, 0..<kept.count)
        let normed = acts.normedInput.rows(rows)
        inputNorm.forward(x, into: normed, epsilon: shape.normEpsilon, state.pass.backend)
        let (k, v) = (acts.key.rows(rows), acts.value.rows(rows))
        try Linear.forward([key, value], normed, into: [k, v], state.pass)
        finish(k, headNorms?.key, into: k, state)
        _ = writeKeysAndValues(rows, state)
        guard !kept.isEmpty else { return }
        let rest = state.keeping(kept)
        for matrix in [x, normed] { matrix.pack(kept, of: matrix) }
        let (left, q) = (x.rows(keptRows), acts.query.rows(keptRows))
        try query.forward(normed.rows(keptRows), into: q, rest.pass)
        finish(q, headNorms?.query, into: q, rest)
        let runs = rest.cache.attentionRuns(layer: index, batch: rest.batch)
        try addAttention(left, into: left, runs, rest, nil)
        try feedForward(left, into: left, rest, nil)
    }

    /// Shows an observer the inputs of all linear layers for x `[T][C]`, of a mixture's those of the router, which are the
    /// experts' too; an MLP's last product and a mixture's experts are not computed.
    /// - Parameter middle: `[T][C]` of memory; what it holds then is no layer's value.
    package func observe(
        _ x: Matrix, middle: Matrix, _ state: LayerPass, observer: @escaping Observer
    ) throws {
        try attend(x, into: middle, state, observer)
        _ = try prepareFeedForward(middle, state, observer)
    }

    /// Shows an observer the inputs of one expert's linear layers for the rows that choose it.
    /// - Parameter middle: attention's value with its residual `[T][C]`.
    package func observe(
        expert: Int, _ middle: Matrix, _ state: LayerPass, observer: Observer
    ) throws {
        guard case .mixture(let mixture) = feedForward else { return }
        let normed = try prepareFeedForward(middle, state, nil)
        try mixture.observe(expert: expert, normed, state.activations, state.pass, observer)
    }

    private func feedForward(
        _ middle: Matrix, into out: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let acts = state.activations
        let normed = try prepareFeedForward(middle, state, observer)
        copy(middle, to: out)
        switch feedForward {
        case .mlp(let mlp): try mlp.finish(into: out, accumulate: true, acts, state.pass)
        case .mixture(let mixture): try mixture.add(normed, to: out, acts, state.pass, observer)
        }
    }

    /// Computes what the backward pass needs of a forward pass that was made before: all but the layer's value.
    package func recompute(_ x: Matrix, _ state: LayerPass) throws {
        let middle = state.activations.middle.rows(0..<x.rows)
        try attend(x, into: middle, state, nil)
        _ = try prepareFeedForward(middle, state, nil)
    }

    private func attend(
        _ x: Matrix, into middle: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let (acts, rows) = (state.activations, 0..<x.rows)
        let normed = acts.normedInput.rows(rows)
        inputNorm.forward(x, into: normed, epsilon: shape.normEpsilon, state.pass.backend)
        try observer?([query, key, value], normed)
        let (plain, v) = (acts.unnormedHeads(rows), acts.value.rows(rows))
        try Linear.forward(
            [query, key, value], normed, into: [plain.query, plain.key, v], state.pass)
        finish(plain.query, headNorms?.query, into: acts.query.rows(rows), state)
        finish(plain.key, headNorms?.key, into: acts.key.rows(rows), state)
        try addAttention(x, into: middle, writeKeysAndValues(rows, state), state, observer)
    }

    /// Norms and rotates heads of queries or keys.
    private func finish(_ plain: Matrix, _ norm: Norm?, into heads: Matrix, _ state: LayerPass) {
        norm?.forwardHeads(plain, into: heads, epsilon: shape.normEpsilon, state.pass.backend)
        rotate(heads, state, inverse: false)
    }

    private func rotate(_ heads: Matrix, _ state: LayerPass, inverse: Bool) {
        state.pass.backend.rope(
            heads, headDim: shape.headDim, cosines: state.cosines, sines: state.sines,
            inverse: inverse)
    }

    /// Returns the runs of the batch.
    private func writeKeysAndValues(_ rows: Range<Int>, _ state: LayerPass) -> [AttentionRun] {
        let acts = state.activations
        let (k, v) = (acts.key.rows(rows), acts.value.rows(rows))
        let attention = shape.attention(kvType: state.cache.kvType)
        let runs = state.cache.attentionRuns(layer: index, batch: state.batch)
        for run in runs {
            state.pass.backend.writeKV(
                attention, k: k.rows(run.rows), v: v.rows(run.rows),
                firstPosition: run.firstPosition, pages: run.pages)
        }
        return runs
    }

    /// middle = x plus attention's value for the queries.
    private func addAttention(
        _ x: Matrix, into middle: Matrix, _ runs: [AttentionRun], _ state: LayerPass,
        _ observer: Observer?
    ) throws {
        let (acts, rows) = (state.activations, 0..<x.rows)
        let attended = acts.attention.rows(rows)
        state.pass.backend.attention(
            shape.attention(kvType: state.cache.kvType), runs: runs, q: acts.query.rows(rows),
            out: attended, lse: acts.logSumExp?.rows(rows))
        try observer?([output], attended)
        copy(x, to: middle)
        try output.forward(attended, into: middle, accumulate: true, state.pass)
    }

    /// Computes what a backward pass needs of the MLP or mixture; returns its input.
    private func prepareFeedForward(
        _ middle: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws -> Matrix {
        let (pass, acts) = (state.pass, state.activations)
        let normed = acts.normedMiddle.rows(0..<middle.rows)
        middleNorm.forward(middle, into: normed, epsilon: shape.normEpsilon, pass.backend)
        switch feedForward {
        case .mlp(let mlp): try mlp.activate(normed, acts, pass, observer)
        case .mixture(let mixture): try mixture.route(normed, acts, pass, observer)
        }
        return normed
    }

    private func copy(_ source: Matrix, to target: Matrix) {
        guard source.pointer != target.pointer else { return }
        target.pointer.update(from: source.pointer, count: source.count)
    }

    // MARK: Backward

    /// Turns the gradient of the layer's value into the gradient of its input x, in place, and adds to the gradients
    /// of what is trainable. `forward` or `recompute` of the same x must have filled activations and cache just before.
    package func backward(
        _ x: Matrix, gradient: Matrix, gradients: LayerGradients, cache: PassCache,
        _ state: LayerPass
    ) throws {
        precondition(state.activations.backward, "activations were made without a backward pass")
        try feedForwardBackward(gradient, gradients, state)
        try attendBackward(x, gradient, gradients, cache, state)
    }

    private func feedForwardBackward(
        _ gradient: Matrix, _ gradients: LayerGradients, _ state: LayerPass
    ) throws {
        let (pass, acts) = (state.pass, state.activations)
        let rows = 0..<gradient.rows
        let (normed, dNormed) = (acts.normedMiddle.rows(rows), gradients.normed.rows(rows))
        let dActivated = gradients.activated.rows(rows)
        switch feedForward {
        case .mlp(let mlp):
            try mlp.backward(
                normed, dy: gradient, into: dNormed, dActivated: dActivated, acts, pass)
        case .mixture(let mixture):
            try mixture.backward(
                normed, dy: gradient, into: dNormed, dActivated: dActivated, acts, pass)
        }
        middleNorm.backward(
            acts.middle.rows(rows), dy: dNormed, addingTo: gradient, epsilon: shape.normEpsilon,
            pass.backend)
    }

    private func attendBackward(
        _ x: Matrix, _ gradient: Matrix, _ gradients: LayerGradients,
        _ cache: PassCache, _ state: LayerPass
    ) throws {
        let (pass, acts, backend) = (state.pass, state.activations, state.pass.backend)
        let rows = 0..<gradient.rows
        let attended = acts.attention.rows(rows)
        let dAttended = gradients.attention.rows(rows)
        try output.backward(attended, dy: gradient, into: dAttended, accumulate: false, pass)
        guard let lse = acts.logSumExp?.rows(rows) else { return }
        let attention = shape.attention(kvType: cache.kvType)
        let runs = cache.attentionRuns(layer: index, batch: state.batch)
        let dq = gradients.query.rows(rows)
        cache.zeroGradients()
        backend.attentionBackward(
            attention, runs: runs, q: acts.query.rows(rows), out: attended, lse: lse,
            dout: dAttended, dq: dq)
        // Keys and values stand in pages by now; their rows take the gradients.
        let (dk, dv) = (acts.key.rows(rows), acts.value.rows(rows))
        for run in runs {
            guard let pages = run.gradientPages else { continue }
            backend.readKV(
                attention, pages: pages, firstPosition: run.firstPosition, k: dk.rows(run.rows),
                v: dv.rows(run.rows))
        }
        for heads in [dq, dk] { rotate(heads, state, inverse: true) }
        if let headNorms, let plain = acts.plainHeads {
            headNorms.query.backwardHeads(
                plain.query.rows(rows), gradient: dq, epsilon: shape.normEpsilon, backend)
            headNorms.key.backwardHeads(
                plain.key.rows(rows), gradient: dk, epsilon: shape.normEpsilon, backend)
        }
        let normed = acts.normedInput.rows(rows)
        let dNormed = gradients.normed.rows(rows)
        try query.backward(normed, dy: dq, into: dNormed, accumulate: false, pass)
        try key.backward(normed, dy: dk, into: dNormed, accumulate: true, pass)
        try value.backward(normed, dy: dv, into: dNormed, accumulate: true, pass)
        inputNorm.backward(
            x, dy: dNormed, addingTo: gradient, epsilon: shape.normEpsilon, backend)
    }
}

/// The norms of each head of queries and of keys.
package struct HeadNorms: Sendable {
    /// D numbers that all heads of queries share.
    package let query: Norm
    /// D numbers that all heads of keys share.
    package let key: Norm

    /// Pairs two norms.
    package init(query: Norm, key: Norm) {
        self.query = query
        self.key = key
    }
}

/// What a layer needs to know of one pass over a batch.
package struct LayerPass: Sendable {
    /// The batch.
    package let batch: DecoderBatch
    /// Device, adapters and dropout.
    package let pass: Pass
    /// Where the layer keeps what it computes on the way.
    package let activations: LayerActivations
    /// Keys and values.
    package let cache: any KVCache
    /// Rotary tables `[T][D/2]`.
    package let cosines: Matrix
    package let sines: Matrix

    /// Describes a pass.
    package init(
        batch: DecoderBatch, pass: Pass, activations: LayerActivations, cache: any KVCache,
        cosines: Matrix, sines: Matrix
    ) {
        self.batch = batch
        self.pass = pass
        self.activations = activations
        self.cache = cache
        self.cosines = cosines
        self.sines = sines
    }

    /// The pass of some of the batch's rows, in ascending order, whose rotary tables take the place of all rows'.
    func keeping(_ kept: [Int]) -> LayerPass {
        for table in [cosines, sines] { table.pack(kept, of: table) }
        let rows = 0..<kept.count
        return LayerPass(
            batch: batch.keeping(kept), pass: pass.packed(kept), activations: activations,
            cache: cache, cosines: cosines.rows(rows), sines: sines.rows(rows))
    }
}
