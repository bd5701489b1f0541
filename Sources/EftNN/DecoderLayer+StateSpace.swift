// SPDX-License-Identifier: Apache-2.0
// A state-space layer in the place of attention, forward and backward.
import EftTensor

extension DecoderLayer {
    private func spaceActivations(_ state: LayerPass) -> StateSpaceActivations {
        guard let acts = state.activations.space else {
            preconditionFailure("activations of another form of attention")
        }
        return acts
    }

    private var spaceShape: StateSpaceShape {
        guard let space = shape.mixer?.space else {
            preconditionFailure("a layer of another form")
        }
        return space
    }

    // MARK: Forward

    /// Computes what the last product reads for `input` `[T][C]`, and brings the states of the batch's sequences forward.
    func mix(
        _ space: StateSpace, _ input: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let (acts, backend, rows) = (spaceActivations(state), state.pass.backend, 0..<input.rows)
        try observer?([space.product], input)
        try space.product.forward(input, into: acts.whole.rows(rows), state.pass)
        forEachPiece(acts, rows) { whole, part, count in part.update(from: whole, count: count) }
        let heads = acts.rule.rows.rows(rows)
        backend.deltaGates(
            a: acts.step.rows(rows), b: nil, rate: space.rate.values, bias: space.bias.values,
            decay: heads.decay, strength: heads.strength)
        let places = state.cache.states(layer: index, batch: state.batch)
        for (run, place) in zip(state.batch.runs, places) {
            let mixed = acts.mixed.rows(run.rows)
            let tail = place.map { $0 + spaceShape.rule.stateFloats }
            let before = run.firstPosition == 0 ? nil : tail.map { UnsafePointer($0) }
            for (columns, target) in zip(spaceShape.parts, convolved(acts.rule.rows, run.rows)) {
                convolve(space, mixed, columns, before: before, into: target, backend)
                backend.activate(.silu, gate: target, up: nil, into: target)
            }
            tail.map {
                keepLast(spaceShape.taps - 1, of: mixed, in: $0, isFirst: run.firstPosition == 0)
            }
        }
        apply(spaceShape.rule, acts.rule, state)
        let core = acts.rule.core.rows(rows)
        forEachHead(rows) { head, place, count in
            let factor = space.skip.values.floats[head]
            let x = acts.rule.rows.value.pointer
            for index in place..<place + count { core.pointer[index] += factor * x[index] }
        }
        let weighed = acts.weighed.rows(rows)
        backend.activate(.silu, gate: acts.gate.rows(rows), up: core, into: weighed)
        let values = acts.values.rows(rows)
        space.norm.forwardHeads(weighed, into: values, backend)
        try observer?([output], values)
    }

    /// What the convolution gives: x, B and C, in the order of its columns.
    private func convolved(_ rows: DeltaRows, _ range: Range<Int>) -> [Matrix] {
        [rows.value.rows(range), rows.key.rows(range), rows.query.rows(range)]
    }

    /// Pieces of the first product's rows: the gate, what the convolution sees, the steps.
    private func forEachPiece(
        _ acts: StateSpaceActivations, _ rows: Range<Int>,
        _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    ) {
        for row in rows {
            var source = acts.whole.pointer + row * acts.whole.columns
            for part in [acts.gate, acts.mixed, acts.step] {
                body(source, part.pointer + row * part.columns, part.columns)
                source += part.columns
            }
        }
    }

    /// Heads of x in some rows: the head, the place of its first number, how many there are.
    private func forEachHead(
        _ rows: Range<Int>, _ body: (_ head: Int, _ place: Int, _ count: Int) -> Void
    ) {
        let (heads, width) = (spaceShape.rule.valueHeads, spaceShape.rule.valueDim)
        for row in rows {
            for head in 0..<heads { body(head, (row * heads + head) * width, width) }
        }
    }

    private func convolution(
        _ space: StateSpace, _ mixed: Matrix, _ columns: Range<Int>,
        before: UnsafePointer<Float>? = nil
    ) -> RowConvolution {
        RowConvolution(
            mixed, columns: columns, taps: spaceShape.taps, weight: space.convolution.values,
            before: before)
    }

    /// The convolution's sums of some columns, before what follows it.
    private func convolve(
        _ space: StateSpace, _ mixed: Matrix, _ columns: Range<Int>,
        before: UnsafePointer<Float>? = nil, into target: Matrix, _ backend: any Backend
    ) {
        backend.convolve(convolution(space, mixed, columns, before: before), into: target)
        guard let bias = space.convolutionBias?.values else { return }
        for row in 0..<target.rows {
            let sums = target.pointer + row * target.columns
            for column in 0..<columns.count {
                sums[column] += bias.floats[columns.lowerBound + column]
            }
        }
    }

    // MARK: Backward

    /// dInput = what the gradient dy of the layer's value comes to at the input of its first product.
    func mixBackward(
        _ space: StateSpace, _ input: Matrix, _ dy: Matrix, into dInput: Matrix, _ state: LayerPass
    ) throws {
        let (acts, pass, backend) = (spaceActivations(state), state.pass, state.pass.backend)
        guard let gradients = acts.rule.gradients else { return }
        let rows = 0..<input.rows
        let (dValues, gate, core) = (
            gradients.values.rows(rows), acts.gate.rows(rows), acts.rule.core.rows(rows)
        )
        try output.backward(
            acts.values.rows(rows), dy: dy, into: dValues, accumulate: false, pass)
        space.norm.backwardHeads(acts.weighed.rows(rows), gradient: dValues, backend)
        backend.activateBackward(.silu, gate: gate, up: core, dy: dValues, dgate: gate, dup: core)
        applyBackward(spaceShape.rule, acts.rule, dout: acts.rule.core, state)
        skipBackward(space, acts, gradients, rows)
        let (heads, slopes) = (acts.rule.rows.rows(rows), gradients.rows.rows(rows))
        backend.deltaGatesBackward(
            DeltaGates(
                a: acts.step.rows(rows), b: nil, rate: space.rate.values, bias: space.bias.values,
                decay: heads.decay, strength: heads.strength), ddecay: slopes.decay,
            dstrength: slopes.strength, rateGradient: space.rate.parameter?.activeGradient,
            biasGradient: space.bias.parameter?.activeGradient)
        for run in state.batch.runs { convolveBackward(space, acts, gradients, run.rows, backend) }
        forEachPiece(acts, rows) { whole, part, count in whole.update(from: part, count: count) }
        try space.product.backward(
            input, dy: acts.whole.rows(rows), into: dInput, accumulate: false, pass)
    }

    /// What x adds by itself.
    private func skipBackward(
        _ space: StateSpace, _ acts: StateSpaceActivations,
        _ gradients: RuleActivations.Gradients, _ rows: Range<Int>
    ) {
        let (x, slope, dx) = (
            acts.rule.rows.value.pointer, acts.rule.core.pointer, gradients.rows.value.pointer
        )
        let ofSkip = space.skip.parameter?.activeGradient
        forEachHead(rows) { head, place, count in
            let factor = space.skip.values.floats[head]
            var sum: Float = 0
            for index in place..<place + count {
                sum += slope[index] * x[index]
                dx[index] += factor * slope[index]
            }
            if let ofSkip { ofSkip.floats[head] += sum }
        }
    }

    /// From the gradients of what the rule reads to those of what the convolution saw, of one sequence.
    private func convolveBackward(
        _ space: StateSpace, _ acts: StateSpaceActivations,
        _ gradients: RuleActivations.Gradients, _ rows: Range<Int>, _ backend: any Backend
    ) {
        let mixed = acts.mixed.rows(rows)
        let ofBias = space.convolutionBias?.parameter?.activeGradient
        let slopes = convolved(gradients.rows, rows)
        let plain = convolved(acts.rule.rows, rows)
        for ((columns, sums), slope) in zip(zip(spaceShape.parts, plain), slopes) {
            // The sums are computed again in the place of what became of them.
            convolve(space, mixed, columns, into: sums, backend)
            backend.activateBackward(.silu, gate: sums, up: nil, dy: slope, dgate: slope, dup: nil)
            if let ofBias {
                for row in 0..<slope.rows {
                    for column in 0..<columns.count {
                        ofBias.floats[columns.lowerBound + column] +=
                            slope.pointer[row * slope.columns + column]
                    }
                }
            }
            backend.convolveBackward(
                convolution(space, mixed, columns), dy: slope,
                weightGradient: space.convolution.parameter?.activeGradient)
        }
        for (columns, slope) in zip(spaceShape.parts, slopes) {
            for row in 0..<slope.rows {
                (mixed.pointer + row * mixed.columns + columns.lowerBound).update(
                    from: slope.pointer + row * slope.columns, count: columns.count)
            }
        }
    }
}
