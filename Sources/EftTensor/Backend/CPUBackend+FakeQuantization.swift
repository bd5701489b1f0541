// SPDX-License-Identifier: Apache-2.0
// Fake quantization on the CPU.
import CEftKernels

extension CPUBackend {
    package func fakeInt4(_ weight: PackedWeight, group: Int, into rounded: PackedWeight) {
        precondition(weight.layout == rounded.layout)
        eft_fake_int4(context, matrix(weight), group, rounded.panels.floats)
    }

    package func fakeInt4Backward(_ weight: PackedWeight, group: Int, gradient: Buffer) {
        precondition(gradient.byteCount == weight.panels.byteCount)
        eft_fake_int4_backward(context, matrix(weight), group, gradient.floats)
    }

    package func fakeInt4Inverse(
        _ weight: PackedWeight, group: Int, rows: [Int32], gradients: Matrix
    ) {
        precondition(gradients.rows == rows.count && gradients.columns == weight.inputs)
        precondition(rows.allSatisfy { $0 >= 0 && Int($0) < weight.outputs })
        eft_fake_int4_inverse(
            context, matrix(weight), group, rows.count, rows, gradients.pointer)
    }

    package func fakeInt8(_ x: Matrix, into y: Matrix) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        eft_fake_int8(context, x.rows, x.columns, x.pointer, y.pointer)
    }

    package func fakeInt8Backward(_ x: Matrix, gradient: Matrix) {
        precondition(x.rows == gradient.rows && x.columns == gradient.columns)
        eft_fake_int8_backward(context, x.rows, x.columns, x.pointer, gradient.pointer)
    }

    private func matrix(_ weight: PackedWeight) -> eft_matrix {
        precondition(weight.layout.format == .f32, "weights that are trained are held in f32")
        return weight.layout.trainedShape.kernelValue(weight.panels.floats)
    }
}
