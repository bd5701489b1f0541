// SPDX-License-Identifier: Apache-2.0
// A gated short convolution in a decoder layer, forward and backward.
import EftTensor

extension DecoderLayer {
    private func convolutionActivations(_ state: LayerPass) -> ShortConvolutionActivations {
        guard let acts = state.activations.convolution else {
            preconditionFailure("activations of another form of attention")
        }
        return acts
    }

    private var convolutionShape: ShortConvolutionShape {
        guard let convolution = shape.mixer?.convolution else {
            preconditionFailure("a layer of another form")
        }
        return convolution
    }

    /// The convolution over rows of one sequence.
    private func rowConvolution(
        _ part: ShortConvolution, _ rows: Matrix, before: UnsafePointer<Float>? = nil
    ) -> RowConvolution {
        RowConvolution(
            rows, columns: 0..<rows.columns, taps: convolutionShape.taps,
            weight: part.convolution.values, before: before)
    }

    /// Computes what the last product reads for `input` `[T][C]`, and brings the states of the batch's sequences forward.
    func mix(
        _ part: ShortConvolution, _ input: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let (acts, backend) = (convolutionActivations(state), state.pass.backend)
        let rows = 0..<input.rows
        try observer?([part.product], input)
        try part.product.forward(input, into: acts.whole.rows(rows), state.pass)
        forEachRow(acts, rows) { before, _, inner, row in
            let target = acts.gated.pointer + row * acts.gated.columns
            for column in 0..<inner.count { target[column] = before[column] * inner[column] }
        }
        let places = state.cache.states(layer: index, batch: state.batch)
        for (run, place) in zip(state.batch.runs, places) {
            precondition(place != nil || run.firstPosition == 0, "a pass holds whole sequences")
            let gated = acts.gated.rows(run.rows)
            let before = run.firstPosition == 0 ? nil : place.map { UnsafePointer($0) }
            backend.convolve(
                rowConvolution(part, gated, before: before), into: acts.sums.rows(run.rows))
            place.map {
                keepLast(
                    convolutionShape.taps - 1, of: gated, in: $0, isFirst: run.firstPosition == 0)
            }
        }
        forEachRow(acts, rows) { _, behind, _, row in
            let sums = acts.sums.pointer + row * acts.sums.columns
            let values = acts.values.pointer + row * acts.values.columns
            for column in 0..<behind.count { values[column] = behind[column] * sums[column] }
        }
        try observer?([output], acts.values.rows(rows))
    }

    /// The three parts of the product's rows: the gate before the convolution, the one behind it, and what they gate.
    private func forEachRow(
        _ acts: ShortConvolutionActivations, _ rows: Range<Int>,
        _ body: (
            UnsafeMutableBufferPointer<Float>, UnsafeMutableBufferPointer<Float>,
            UnsafeMutableBufferPointer<Float>, Int
        ) -> Void
    ) {
        let width = convolutionShape.width
        for row in rows {
            let start = acts.whole.pointer + row * acts.whole.columns
            func part(_ place: Int) -> UnsafeMutableBufferPointer<Float> {
                UnsafeMutableBufferPointer(start: start + place * width, count: width)
            }
            body(part(0), part(1), part(2), row)
        }
    }

    /// dInput = what the gradient dy of the convolution's value comes to at the input of its product.
    func mixBackward(
        _ part: ShortConvolution, _ input: Matrix, _ dy: Matrix, into dInput: Matrix,
        _ state: LayerPass
    ) throws {
        let (acts, pass) = (convolutionActivations(state), state.pass)
        guard let gradient = acts.gradient else { return }
        let rows = 0..<input.rows
        try output.backward(
            acts.values.rows(rows), dy: dy, into: gradient.rows(rows), accumulate: false, pass)
        forEachRow(acts, rows) { _, behind, _, row in
            let slope = gradient.pointer + row * gradient.columns
            let sums = acts.sums.pointer + row * acts.sums.columns
            for column in 0..<behind.count {
                let factor = behind[column]
                behind[column] = slope[column] * sums[column]
                sums[column] = slope[column] * factor
            }
        }
        for run in state.batch.runs {
            pass.backend.convolveBackward(
                rowConvolution(part, acts.gated.rows(run.rows)), dy: acts.sums.rows(run.rows),
                weightGradient: part.convolution.parameter?.activeGradient)
        }
        forEachRow(acts, rows) { before, _, inner, row in
            let slope = acts.sums.pointer + row * acts.sums.columns
            for column in 0..<before.count {
                let factor = before[column]
                before[column] = slope[column] * inner[column]
                inner[column] = slope[column] * factor
            }
        }
        try part.product.backward(
            input, dy: acts.whole.rows(rows), into: dInput, accumulate: false, pass)
    }
}
