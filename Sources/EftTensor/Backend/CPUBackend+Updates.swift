// SPDX-License-Identifier: Apache-2.0
// Steps of optimizers on the CPU.
import CEftKernels

extension CPUBackend {
    package func update(
        _ step: UpdateStep, value: Buffer, gradient: Buffer, states: [UpdateState?]
    ) {
        precondition(states.count <= 3 && value.byteCount == gradient.byteCount)
        var kernel = step.kernelValue
        eft_update_step(
            context, &kernel, value.floatCount, value.floats, gradient.floats,
            UpdateState.kernelValues(states))
    }

    package func squareMeans(
        _ x: Buffer, _ shape: ParameterShape, floor: Float, rows: Matrix, columns: Matrix
    ) {
        precondition(rows.count == shape.rows && columns.count == shape.columns)
        eft_square_means(
            context, shape.kernelValue(x.floats), floor, rows.pointer, columns.pointer)
    }

    package func scale(_ x: Buffer, _ shape: ParameterShape, rows: Matrix, columns: Matrix) {
        precondition(rows.count == shape.rows && columns.count == shape.columns)
        eft_scale_by_factors(
            context, shape.kernelValue(x.floats), rows.pointer, columns.pointer)
    }

    package func read(_ x: Buffer, _ shape: ParameterShape, into out: Matrix) {
        precondition(out.count == shape.numbers)
        eft_matrix_read(context, shape.kernelValue(x.floats), out.pointer)
    }

    package func add(
        _ y: Matrix, factor: Float, to x: Buffer, _ shape: ParameterShape, keeping keep: Float
    ) {
        precondition(y.count == shape.numbers)
        eft_matrix_add(context, shape.kernelValue(x.floats), keep, factor, y.pointer)
    }
}
