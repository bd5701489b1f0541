// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm (Zhang and Sennrich 2019), of whole rows or of each head of a row.
import EftTensor

/// y = x / sqrt(mean(x^2) + epsilon) * weight. Changed only while a model is put together, hence unchecked.
package final class Norm: @unchecked Sendable {
    /// The weight's path in the checkpoint, such as `model.norm`.
    package let name: String
    /// C numbers.
    package let weight: Buffer
    /// The trainable view, in full training.
    package private(set) var parameter: Parameter?

    /// Wraps a weight.
    package init(name: String, weight: Buffer) {
        self.name = name
        self.weight = weight
    }

    /// y = the norm of x.
    package func forward(_ x: Matrix, into y: Matrix, epsilon: Float, _ backend: any Backend) {
        backend.rmsNorm(x, weight: weight, epsilon: epsilon, into: y)
    }

    /// dx += the gradient of x, and adds to the weight's gradient when it is trainable.
    package func backward(
        _ x: Matrix, dy: Matrix, addingTo dx: Matrix, epsilon: Float, _ backend: any Backend
    ) {
        backend.rmsNormBackward(
            x: x, weight: weight, epsilon: epsilon, dy: dy, into: dx, accumulate: true,
            weightGradient: parameter?.gradient)
    }

    /// y = the norm of each head of x `[T][H * D]`, whose weight has D numbers; y may be x.
    package func forwardHeads(_ x: Matrix, into y: Matrix, epsilon: Float, _ backend: any Backend) {
        let headDim = weight.floatCount
        forward(
            x.split(columns: headDim), into: y.split(columns: headDim), epsilon: epsilon, backend)
    }

    /// Turns the gradient of `forwardHeads`' value into that of x, in place, and adds to the weight's gradient when it
    /// is trainable.
    package func backwardHeads(
        _ x: Matrix, gradient: Matrix, epsilon: Float, _ backend: any Backend
    ) {
        let headDim = weight.floatCount
        let heads = gradient.split(columns: headDim)
        backend.rmsNormBackward(
            x: x.split(columns: headDim), weight: weight, epsilon: epsilon, dy: heads, into: heads,
            accumulate: false, weightGradient: parameter?.gradient)
    }

    /// Takes memory for the gradient.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package func makeTrainable(ledger: MemoryLedger?) throws(TensorError) {
        parameter = try Parameter(
            name: name + ".weight", value: weight, decays: false, ledger: ledger)
    }
}
