// SPDX-License-Identifier: Apache-2.0
// Linear attention in a decoder layer, forward and backward.
import EftTensor

extension DecoderLayer {
    private func linearActivations(_ state: LayerPass) -> LinearActivations {
        guard let acts = state.activations.linear else {
            preconditionFailure("activations of another form of attention")
        }
        return acts
    }

    private var linearShape: LinearAttentionShape {
        guard let linear = shape.mixer?.delta else {
            preconditionFailure("a layer of another form")
        }
        return linear
    }

    // MARK: Forward

    /// Computes what the last product reads for `input` `[T][C]`, and brings the states of the batch's sequences forward.
    func mix(
        _ linear: LinearAttention, _ input: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let (acts, backend, rows) = (linearActivations(state), state.pass.backend, 0..<input.rows)
        try observer?(linear.linears, input)
        try projectLinear(linear, input, acts, state.pass)
        let heads = acts.rule.rows.rows(rows)
        backend.deltaGates(
            a: acts.decaySource.rows(rows), b: acts.strengthSource.rows(rows),
            rate: linear.rate.values, bias: linear.bias.values, decay: heads.decay,
            strength: heads.strength)
        let places = state.cache.states(layer: index, batch: state.batch)
        for (run, place) in zip(state.batch.runs, places) {
            convolve(linear, acts, run, place, backend)
        }
        for (plain, normed, unit) in zip3(
            plainHeads(acts, rows), [heads.query, heads.key], linear.units)
        {
            backend.activate(.silu, gate: plain, up: nil, into: plain)
            unit.forwardHeads(plain, into: normed, backend)
        }
        backend.activate(.silu, gate: heads.value, up: nil, into: heads.value)
        apply(linearShape.delta, acts.rule, state)
        let normed = acts.normed.rows(rows)
        linear.norm.forwardHeads(acts.rule.core.rows(rows), into: normed, backend)
        let values = acts.values.rows(rows)
        backend.activate(.silu, gate: acts.gate.rows(rows), up: normed, into: values)
        try observer?([output], values)
    }

    private func plainHeads(_ acts: LinearActivations, _ rows: Range<Int>) -> [Matrix] {
        [acts.plainQuery.rows(rows), acts.plainKey.rows(rows)]
    }

    private func zip3(_ a: [Matrix], _ b: [Matrix], _ c: [Norm]) -> [(Matrix, Matrix, Norm)] {
        zip(zip(a, b), c).map { ($0.0, $0.1, $1) }
    }

    private func projectLinear(
        _ linear: LinearAttention, _ input: Matrix, _ acts: LinearActivations, _ pass: Pass
    ) throws {
        let rows = 0..<input.rows
        let parts = linearParts(acts, rows)
        switch linear.projections {
        case .apart(let mixed, let gate, let strength, let decay):
            try Linear.forward(
                [mixed, gate, strength, decay], input,
                into: [parts.mixed, parts.gate, parts.strength, parts.decay], pass)
        case .grouped(let states, let gates):
            guard let all = acts.states?.rows(rows), let both = acts.gates?.rows(rows) else {
                preconditionFailure("activations of products that stand apart")
            }
            try Linear.forward([states, gates], input, into: [all, both], pass)
            forEachPiece(of: all, both, parts) { whole, part, count in
                part.update(from: whole, count: count)
            }
        }
    }

    /// What the products of linear attention give, each in a place of its own.
    private struct LinearParts {
        let mixed: Matrix
        let gate: Matrix
        let strength: Matrix
        let decay: Matrix
    }

    private func linearParts(_ acts: LinearActivations, _ rows: Range<Int>) -> LinearParts {
        LinearParts(
            mixed: acts.mixed.rows(rows), gate: acts.gate.rows(rows),
            strength: acts.strengthSource.rows(rows), decay: acts.decaySource.rows(rows))
    }

    /// Pieces of products that hold all for one key head after the other.
    private func forEachPiece(
        of states: Matrix, _ gates: Matrix, _ parts: LinearParts,
        _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    ) {
        let (delta, columns) = (linearShape.delta, linearShape.parts.map(\.lowerBound))
        let group = delta.valueHeads / delta.keyHeads
        let values = group * delta.valueDim
        for row in 0..<states.rows {
            var (source, small) = (
                states.pointer + row * states.columns, gates.pointer + row * gates.columns
            )
            let mixed = parts.mixed.pointer + row * parts.mixed.columns
            for head in 0..<delta.keyHeads {
                let gate = parts.gate.pointer + row * parts.gate.columns + head * values
                for (target, width) in [
                    (mixed + columns[0] + head * delta.keyDim, delta.keyDim),
                    (mixed + columns[1] + head * delta.keyDim, delta.keyDim),
                    (mixed + columns[2] + head * values, values), (gate, values),
                ] {
                    body(source, target, width)
                    source += width
                }
                for part in [parts.strength, parts.decay] {
                    body(small, part.pointer + row * part.columns + head * group, group)
                    small += group
                }
            }
        }
    }

    /// The convolution of one sequence's rows; the last rows stand in the sequence's place afterwards.
    private func convolve(
        _ linear: LinearAttention, _ acts: LinearActivations, _ run: DecoderBatch.Run,
        _ place: UnsafeMutablePointer<Float>?, _ backend: any Backend
    ) {
        let mixed = acts.mixed.rows(run.rows)
        let tail = place.map { $0 + linearShape.delta.stateFloats }
        let before = run.firstPosition == 0 ? nil : tail.map { UnsafePointer($0) }
        let targets = [acts.plainQuery, acts.plainKey, acts.rule.rows.value]
        for (columns, target) in zip(linearShape.parts, targets) {
            backend.convolve(
                convolution(linear, mixed, columns, before: before), into: target.rows(run.rows))
        }
        tail.map {
            keepLast(linearShape.taps - 1, of: mixed, in: $0, isFirst: run.firstPosition == 0)
        }
    }

    private func convolution(
        _ linear: LinearAttention, _ mixed: Matrix, _ columns: Range<Int>,
        before: UnsafePointer<Float>? = nil
    ) -> RowConvolution {
        RowConvolution(
            mixed, columns: columns, taps: linearShape.taps, weight: linear.convolution.values,
            before: before)
    }

    // MARK: Backward

    /// dInput = what the gradient dy of attention's value comes to at the input of its products.
    func mixBackward(
        _ linear: LinearAttention, _ input: Matrix, _ dy: Matrix, into dInput: Matrix,
        _ state: LayerPass
    ) throws {
        let (acts, pass, backend) = (linearActivations(state), state.pass, state.pass.backend)
        guard let gradients = acts.rule.gradients else { return }
        let rows = 0..<input.rows
        let dValues = gradients.values.rows(rows)
        try output.backward(
            acts.values.rows(rows), dy: dy, into: dValues, accumulate: false, pass)
        let (gate, normed) = (acts.gate.rows(rows), acts.normed.rows(rows))
        backend.activateBackward(
            .silu, gate: gate, up: normed, dy: dValues, dgate: gate, dup: normed)
        linear.norm.backwardHeads(acts.rule.core.rows(rows), gradient: normed, backend)
        applyBackward(linearShape.delta, acts.rule, dout: acts.normed, state)
        let (heads, slopes) = (acts.rule.rows.rows(rows), gradients.rows.rows(rows))
        backend.deltaGatesBackward(
            DeltaGates(
                a: acts.decaySource.rows(rows), b: acts.strengthSource.rows(rows),
                rate: linear.rate.values, bias: linear.bias.values, decay: heads.decay,
                strength: heads.strength), ddecay: slopes.decay, dstrength: slopes.strength,
            rateGradient: linear.rate.parameter?.activeGradient,
            biasGradient: linear.bias.parameter?.activeGradient)
        for (plain, slope, unit) in zip3(
            plainHeads(acts, rows), [slopes.query, slopes.key], linear.units)
        {
            unit.backwardHeads(plain, gradient: slope, backend)
        }
        convolveBackward(linear, acts, state)
        try projectLinearBackward(linear, input, into: dInput, acts, pass)
    }

    /// From the gradients of what the rule reads to those of what the convolution saw.
    private func convolveBackward(
        _ linear: LinearAttention, _ acts: LinearActivations, _ state: LayerPass
    ) {
        guard let slopes = acts.rule.gradients?.rows else { return }
        let backend = state.pass.backend
        let plain = [acts.plainQuery, acts.plainKey, acts.rule.rows.value]
        let gradients = [slopes.query, slopes.key, slopes.value]
        for run in state.batch.runs {
            let mixed = acts.mixed.rows(run.rows)
            for (place, columns) in linearShape.parts.enumerated() {
                let convolution = convolution(linear, mixed, columns)
                // The sums are computed again in the place of what became of them.
                let (sums, slope) = (plain[place].rows(run.rows), gradients[place].rows(run.rows))
                backend.convolve(convolution, into: sums)
                backend.activateBackward(
                    .silu, gate: sums, up: nil, dy: slope, dgate: slope, dup: nil)
                backend.convolveBackward(
                    convolution, dy: slope,
                    weightGradient: linear.convolution.parameter?.activeGradient)
            }
            for (columns, slope) in zip(linearShape.parts, gradients) {
                for row in run.rows {
                    (acts.mixed.pointer + row * acts.mixed.columns + columns.lowerBound).update(
                        from: slope.pointer + row * slope.columns, count: columns.count)
                }
            }
        }
    }

    private func projectLinearBackward(
        _ linear: LinearAttention, _ input: Matrix, into dInput: Matrix, _ acts: LinearActivations,
        _ pass: Pass
    ) throws {
        let rows = 0..<input.rows
        let parts = linearParts(acts, rows)
        switch linear.projections {
        case .apart(let mixed, let gate, let strength, let decay):
            try mixed.backward(input, dy: parts.mixed, into: dInput, accumulate: false, pass)
            try gate.backward(input, dy: parts.gate, into: dInput, accumulate: true, pass)
            try strength.backward(input, dy: parts.strength, into: dInput, accumulate: true, pass)
            try decay.backward(input, dy: parts.decay, into: dInput, accumulate: true, pass)
        case .grouped(let states, let gates):
            guard let all = acts.states?.rows(rows), let both = acts.gates?.rows(rows) else {
                return
            }
            forEachPiece(of: all, both, parts) { whole, part, count in
                whole.update(from: part, count: count)
            }
            try states.backward(input, dy: all, into: dInput, accumulate: false, pass)
            try gates.backward(input, dy: both, into: dInput, accumulate: true, pass)
        }
    }
}
