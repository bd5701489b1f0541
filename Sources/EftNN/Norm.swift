// SPDX-License-Identifier: Apache-2.0
// Norms of whole rows or of each head of a row.
import EftTensor

/// How a norm divides a row.
package enum NormKind: Sendable, Hashable {
    /// By the root of the mean square (Zhang and Sennrich 2019).
    case rms
    /// By the standard deviation, after the mean is taken away (Ba, Kiros, Hinton 2016).
    case layer
}

/// y = normed x * weight, plus a bias in some models. Changed only while a model is put together, hence unchecked.
package final class Norm: @unchecked Sendable {
    /// The weight's path in the checkpoint without `.weight`, such as `model.norm`.
    package let name: String
    /// How it divides.
    package let kind: NormKind
    /// Added to the mean square or the variance.
    package let epsilon: Float
    /// C numbers.
    package let weight: Buffer
    /// C numbers; of layer norms only.
    package let bias: Buffer?
    /// What checkpoints take away from the weight: 1 where they hold the distance from one.
    package let offset: Float
    /// The trainable views, in full training.
    package private(set) var parameter: Parameter?
    package private(set) var biasParameter: Parameter?

    /// What of it is trainable.
    package var parameters: [Parameter] { [parameter, biasParameter].compactMap { $0 } }

    /// Wraps a weight.
    package init(
        name: String, kind: NormKind = .rms, epsilon: Float, weight: Buffer, bias: Buffer? = nil,
        offset: Float = 0
    ) {
        precondition(kind == .layer || bias == nil, "root-mean-square norms have no bias")
        self.name = name
        self.kind = kind
        self.epsilon = epsilon
        self.weight = weight
        self.bias = bias
        self.offset = offset
    }

    /// y = the norm of x; y may be x.
    package func forward(_ x: Matrix, into y: Matrix, _ backend: any Backend) {
        switch kind {
        case .rms: backend.rmsNorm(x, weight: weight, epsilon: epsilon, into: y)
        case .layer: backend.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: y)
        }
    }

    /// dx (+)= the gradient of x, and adds to the gradients of weight and bias when they are trainable. dx may be dy when
    /// not accumulating.
    package func backward(
        _ x: Matrix, dy: Matrix, into dx: Matrix, accumulate: Bool, _ backend: any Backend
    ) {
        switch kind {
        case .rms:
            backend.rmsNormBackward(
                x: x, weight: weight, epsilon: epsilon, dy: dy, into: dx, accumulate: accumulate,
                weightGradient: parameter?.activeGradient)
        case .layer:
            backend.layerNormBackward(
                x: x, weight: weight, epsilon: epsilon, dy: dy, into: dx, accumulate: accumulate,
                weightGradient: parameter?.activeGradient,
                biasGradient: biasParameter?.activeGradient)
        }
    }

    /// y = the norm of each head of x `[T][H * D]`, whose weight has D numbers; y may be x. A weight of H * D numbers
    /// norms all heads at once.
    package func forwardHeads(_ x: Matrix, into y: Matrix, _ backend: any Backend) {
        let headDim = weight.floatCount
        forward(x.split(columns: headDim), into: y.split(columns: headDim), backend)
    }

    /// Turns the gradient of `forwardHeads`' value into that of x, in place, and adds to the weight's gradient when it
    /// is trainable.
    package func backwardHeads(_ x: Matrix, gradient: Matrix, _ backend: any Backend) {
        let headDim = weight.floatCount
        let heads = gradient.split(columns: headDim)
        backward(x.split(columns: headDim), dy: heads, into: heads, accumulate: false, backend)
    }

    /// Takes memory for gradients.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(
        weight trainsWeight: Bool = true, bias trainsBias: Bool = true, ledger: MemoryLedger?
    ) throws(TensorError) {
        if trainsWeight {
            parameter = try Parameter(
                name: name + ".weight", value: weight, decays: false, ledger: ledger)
        }
        if trainsBias, let bias {
            biasParameter = try Parameter(
                name: name + ".bias", value: bias, decays: false, ledger: ledger)
        }
    }
}
