// SPDX-License-Identifier: Apache-2.0
// How the inputs of a linear layer differ from the unquantized model's, and weights that make up for it.
import CEftKernels
import EftTensor

/// C = sum over calibration rows of Q'(X - Q) / rows, Q being the inputs of a linear layer as they come from quantized layers
/// and X those of the unquantized model.
///
/// The weights whose outputs on Q are nearest to those of W on X are W + (Q'Q)^-1 Q'(X - Q) W, least squares.
package final class CrossHessian {
    /// K.
    package let size: Int
    private let buffer: Buffer
    private var batches = 0
    private var isOrdered = false

    /// Bytes of the matrix, under `.workspace`.
    package static func byteCount(_ size: Int) -> Int { size * size * 4 }

    /// Bytes that `adjust` takes, under `.workspace`.
    package static func adjustingByteCount(inputs: Int, outputs: Int) -> Int {
        inputs * outputs * 4
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    package init(size: Int, ledger: MemoryLedger?) throws(TensorError) {
        self.size = size
        buffer = try Buffer(
            byteCount: CrossHessian.byteCount(size), ledger: ledger, purpose: .workspace)
    }

    /// Adds a calibration row.
    /// - Parameters:
    ///   - x: the inputs of quantized layers `[T][K]`.
    ///   - original: the same of the unquantized model; overwritten with the differences.
    /// - Throws: `TensorError` when scratch memory does not suffice.
    package func add(
        _ x: Matrix, original: Matrix, backend: CPUBackend
    ) throws(TensorError) {
        precondition(
            x.columns == size && original.columns == size && x.rows == original.rows && !isOrdered,
            "inputs of another layer")
        eft_add_scaled(backend.context, x.count, -1, x.pointer, original.pointer)
        try backend.addGram(x, with: original, to: buffer.floats)
        batches += 1
    }

    /// Puts rows and columns in the order of a factored Hessian, and makes the sum a mean.
    package func order(as hessian: Hessian, on backend: CPUBackend) {
        precondition(hessian.size == size && !isOrdered, "the Hessian of another layer")
        let order = hessian.permutation.map { Int($0) }
        let scale = 1 / Float(max(batches, 1))
        for index in 0..<size * size { buffer.floats[index] *= scale }
        Hessian.permute(buffer.floats, order, on: backend)
        isOrdered = true
    }

    /// Moves weights `[K][N]` in stored order towards those that make up for the difference of the inputs:
    /// W += share (H + damp I)^-1 C W.
    /// - Parameters:
    ///   - share: 1 for least squares; less trusts the calibration text less.
    ///   - hessian: of the same inputs, factored; `order(as:on:)` took its order.
    /// - Throws: `TensorError` when memory does not suffice.
    package func adjust(
        _ weights: Matrix, share: Float, hessian: Hessian, backend: CPUBackend
    ) throws(TensorError) {
        precondition(isOrdered && weights.rows == size, "before the order is known")
        let change = try Matrix(
            rows: size, columns: weights.columns, ledger: backend.ledger, purpose: .workspace)
        let (size, columns) = (size, weights.columns)
        change.zero()
        try backend.gemm(
            size, columns, size, alpha: 1, MatrixPart(buffer.floats, stride: size),
            MatrixPart(weights.pointer, stride: columns), addingTo: change.pointer,
            stride: columns)
        // (H + damp I)^-1 = U'U
        let factor = TriangularProducts(
            hessian.values, size: size, stride: size, backend: backend)
        try factor.multiply(change.pointer, columns: columns)
        try factor.multiplyTransposed(change.pointer, columns: columns)
        eft_add_scaled(
            backend.context, weights.count, share, change.pointer, weights.pointer)
    }
}
