// SPDX-License-Identifier: Apache-2.0
// Linear attention on the CPU.
import CEftKernels

extension CPUBackend {
    package func deltaGates(
        a: Matrix, b: Matrix?, rate: Buffer, bias: Buffer, decay: Matrix, strength: Matrix
    ) {
        let gates = DeltaGates(a: a, b: b, rate: rate, bias: bias, decay: decay, strength: strength)
        withUnsafePointer(to: gates.kernelValue) { eft_delta_gate(context, $0) }
    }

    package func deltaGatesBackward(
        _ gates: DeltaGates, ddecay: Matrix, dstrength: Matrix, rateGradient: Buffer?,
        biasGradient: Buffer?
    ) {
        precondition(ddecay.count == gates.a.count && dstrength.count == gates.a.count)
        withUnsafePointer(to: gates.kernelValue) {
            eft_delta_gate_backward(
                context, $0, ddecay.pointer, dstrength.pointer, rateGradient?.floats,
                biasGradient?.floats)
        }
    }

    package func deltaRule(
        _ shape: DeltaShape, _ rows: DeltaRows, into out: Matrix,
        state: UnsafeMutablePointer<Float>, isFresh: Bool
    ) {
        precondition(out.rows == rows.value.rows && out.columns == rows.value.columns)
        let run = rows.run(shape, out: out, state: state, isFresh: isFresh)
        withUnsafePointer(to: shape.kernelValue) { shape in
            withUnsafePointer(to: run) { eft_delta_forward(context, shape, $0) }
        }
    }

    package func deltaRuleBackward(
        _ shape: DeltaShape, _ rows: DeltaRows, dout: Matrix, into gradients: DeltaRows,
        state: UnsafeMutablePointer<Float>, scratch: Buffer
    ) {
        precondition(scratch.floatCount >= shape.scratchFloats(rows: dout.rows))
        let run = rows.run(shape, out: nil, state: state, isFresh: true)
        let to = eft_delta_gradients(
            dout: UnsafePointer(dout.pointer), dq: gradients.query.pointer,
            dk: gradients.key.pointer, dv: gradients.value.pointer,
            ddecay: gradients.decay.pointer, dstrength: gradients.strength.pointer,
            scratch: scratch.floats)
        withUnsafePointer(to: shape.kernelValue) { shape in
            withUnsafePointer(to: run) { run in
                withUnsafePointer(to: to) { eft_delta_backward(context, shape, run, $0) }
            }
        }
    }

    package func convolve(_ convolution: RowConvolution, into y: Matrix) {
        precondition(y.rows == convolution.x.rows && y.columns == convolution.columns.count)
        withUnsafePointer(to: convolution.kernelValue(y)) { eft_convolve(context, $0) }
    }

    package func convolveBackward(
        _ convolution: RowConvolution, dy: Matrix, weightGradient: Buffer?
    ) {
        precondition(dy.rows == convolution.x.rows && dy.columns == convolution.columns.count)
        precondition(weightGradient.map { $0.floatCount == convolution.weight.floatCount } ?? true)
        let first = convolution.columns.lowerBound * convolution.taps
        withUnsafePointer(to: convolution.kernelValue(dy)) {
            eft_convolve_backward(
                context, $0, dy.pointer, weightGradient.map { $0.floats + first })
        }
    }
}

extension DeltaGates {
    fileprivate var kernelValue: eft_delta_gates {
        let heads = rate.floatCount
        precondition(bias.floatCount == heads)
        precondition(
            [a, b ?? a, decay, strength].allSatisfy {
                $0.columns == heads && $0.rows == a.rows
            })
        return eft_delta_gates(
            rows: a.rows, heads: heads, a: a.pointer, b: b?.pointer,
            rate: UnsafePointer(rate.floats), bias: UnsafePointer(bias.floats),
            decay: decay.pointer, strength: strength.pointer)
    }
}

extension DeltaRows {
    fileprivate func run(
        _ shape: DeltaShape, out: Matrix?, state: UnsafeMutablePointer<Float>, isFresh: Bool
    ) -> eft_delta_run {
        precondition(
            query.columns == shape.keyHeads * shape.keyDim && key.columns == query.columns
                && value.columns == shape.valueHeads * shape.valueDim
                && decay.columns == shape.valueHeads && strength.columns == shape.valueHeads)
        return eft_delta_run(
            rows: value.rows, q: UnsafePointer(query.pointer), k: UnsafePointer(key.pointer),
            v: UnsafePointer(value.pointer), decay: UnsafePointer(decay.pointer),
            strength: UnsafePointer(strength.pointer), out: out?.pointer, state: state,
            fresh: isFresh)
    }
}

extension RowConvolution {
    fileprivate func kernelValue(_ y: Matrix) -> eft_convolution {
        let first = columns.lowerBound
        return eft_convolution(
            rows: x.rows, columns: columns.count, taps: taps,
            x: UnsafePointer(x.pointer + first), ldx: x.columns, before: before.map { $0 + first },
            ld_before: x.columns, weight: UnsafePointer(weight.floats + first * taps),
            y: y.pointer, ldy: y.columns)
    }
}
