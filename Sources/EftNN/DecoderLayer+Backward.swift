// SPDX-License-Identifier: Apache-2.0
// The backward pass of a decoder layer.
import EftTensor

extension DecoderLayer {
    /// Turns the gradient of the layer's value into the gradient of its input x, in place, and adds to the gradients
    /// of what is trainable. `forward` or `recompute` of the same x must have filled activations and cache just before.
    package func backward(
        _ x: Matrix, gradient: Matrix, gradients: LayerGradients, cache: PassCache,
        _ state: LayerPass
    ) throws {
        precondition(state.activations.backward, "activations were made without a backward pass")
        guard shape.isParallel else {
            let middle = state.activations.middle.rows(0..<x.rows)
            try feedForwardBackward(
                middle, valueGradient(.feedForward, gradient, gradients, state), gradient,
                gradients, state)
            try attendBackward(
                x, valueGradient(.attention, gradient, gradients, state), gradient, gradients,
                cache, state)
            return
        }
        // Both halves take the same gradient, and add to it.
        let value = valueGradient(.attention, gradient, gradients, state)
        try feedForwardBackward(x, value, gradient, gradients, state)
        try attendBackward(x, value, gradient, gradients, cache, state)
    }

    /// The gradient of a half's value, from that of the sum to which it was added.
    private func valueGradient(
        _ half: Half, _ gradient: Matrix, _ gradients: LayerGradients, _ state: LayerPass
    ) -> Matrix {
        guard let own = gradients.value?.rows(0..<gradient.rows) else { return gradient }
        let backend = state.pass.backend
        own.pointer.update(from: gradient.pointer, count: gradient.count)
        if shape.residualScale != 1 { backend.scale(own, by: shape.residualScale) }
        let norm = half == .attention ? rowNorms.attentionValue : rowNorms.feedForwardValue
        norm?.backward(
            value(of: half, gradient.rows, state), dy: own, into: own, accumulate: false, backend)
        return own
    }

    /// gradient += what the gradient dy of the second half's value comes to at its input.
    private func feedForwardBackward(
        _ x: Matrix, _ dy: Matrix, _ gradient: Matrix, _ gradients: LayerGradients,
        _ state: LayerPass
    ) throws {
        let (pass, acts, rows) = (state.pass, state.activations, 0..<gradient.rows)
        let input = keptFeedForwardInput(x, state)
        let dInput = gradients.normed.rows(rows)
        let dActivated = gradients.activated.rows(rows)
        switch feedForward {
        case .mlp(let mlp):
            try mlp.backward(input, dy: dy, into: dInput, dActivated: dActivated, acts, pass)
        case .mixture(let mixture):
            try mixture.backward(input, dy: dy, into: dInput, dActivated: dActivated, acts, pass)
        }
        let norm = rowNorms.feedForward ?? (shape.isParallel ? rowNorms.attention : nil)
        add(norm, x, dInput, to: gradient, pass.backend)
    }

    /// gradient += the gradient of x, from that of its norm, or of x itself where it has none.
    private func add(
        _ norm: Norm?, _ x: Matrix, _ dy: Matrix, to gradient: Matrix, _ backend: any Backend
    ) {
        if let norm {
            norm.backward(x, dy: dy, into: gradient, accumulate: true, backend)
        } else {
            backend.addScaled(dy, factor: 1, to: gradient)
        }
    }

    /// gradient += what the gradient dy of attention's value comes to at its input.
    private func attendBackward(
        _ x: Matrix, _ dy: Matrix, _ gradient: Matrix, _ gradients: LayerGradients,
        _ cache: PassCache, _ state: LayerPass
    ) throws {
        let (pass, acts, backend) = (state.pass, state.activations, state.pass.backend)
        let rows = 0..<gradient.rows
        let dInput = gradients.normed.rows(rows)
        if try mixStatesBackward(keptAttentionInput(x, state), dy, into: dInput, state) {
            return add(rowNorms.attention, x, dInput, to: gradient, backend)
        }
        let attended = acts.attention.rows(rows)
        let dAttended = gradients.attention.rows(rows)
        let dOutputInput =
            (gatedValues(state)?.gradient ?? acts.latent?.valueGradient)?.rows(rows) ?? dAttended
        try output.backward(
            outputInput(rows, state), dy: dy, into: dOutputInput, accumulate: false, pass)
        unpackGradient(dOutputInput, into: dAttended)
        weighBackward(attended, into: dAttended, state)
        guard let lse = acts.logSumExp?.rows(rows) else { return }
        sinks?.addGradient(attended, dy: dAttended, logSumExp: lse)
        let attention = attention(cache.kvType)
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
        temper(dq, state)
        finishBackward(dq, headNorms?.query, acts.plainHeads?.query.rows(rows), state)
        finishBackward(dk, headNorms?.key, acts.plainHeads?.key.rows(rows), state)
        let input = keptAttentionInput(x, state)
        try projectBackward(
            input, HeadMatrices(query: dq, key: dk, value: dv), into: dInput, state)
        add(rowNorms.attention, x, dInput, to: gradient, backend)
    }

    /// From the gradient of normed and rotated heads to that of what they were, in place.
    private func finishBackward(
        _ gradient: Matrix, _ norm: Norm?, _ plain: Matrix?, _ state: LayerPass
    ) {
        if !shape.normsRotatedHeads { rotate(gradient, state, inverse: true) }
        if let norm, let plain { norm.backwardHeads(plain, gradient: gradient, state.pass.backend) }
        if shape.normsRotatedHeads { rotate(gradient, state, inverse: true) }
    }
}
