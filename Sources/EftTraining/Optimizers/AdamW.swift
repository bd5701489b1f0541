// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019) with f32 state, as PyTorch computes it.
import EftNN
import EftTensor

/// First and second moments of all parameters, and the step that uses them.
package final class AdamW {
    /// Parameters in the order of the model.
    package let parameters: [Parameter]
    /// Running means of gradients.
    package private(set) var firstMoments: [Buffer] = []
    /// Running means of squared gradients.
    package private(set) var secondMoments: [Buffer] = []
    /// Steps made.
    package var steps = 0
    private let settings: TrainingSettings

    /// Takes memory for the state, each parameter's on the device that holds its gradient.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(parameters: [Parameter], settings: TrainingSettings) throws(TensorError) {
        self.parameters = parameters
        self.settings = settings
        for parameter in parameters {
            let (bytes, ledger) = (parameter.value.byteCount, parameter.gradient.ledger)
            firstMoments.append(try Buffer(byteCount: bytes, ledger: ledger, purpose: .optimizer))
            secondMoments.append(try Buffer(byteCount: bytes, ledger: ledger, purpose: .optimizer))
        }
    }

    /// The norm of all gradients together.
    package func gradientNorm(_ backend: any Backend) -> Double {
        parameters.reduce(0) { $0 + backend.sumOfSquares($1.gradient) }.squareRoot()
    }

    /// One step at a learning rate, gradients scaled down to the norm of the settings.
    /// - Returns: the norm before scaling; when it is not finite nothing was changed.
    @discardableResult
    package func step(learningRate: Double, _ backend: any Backend) -> Double {
        let norm = gradientNorm(backend)
        guard norm.isFinite else { return norm }
        let most = settings.maxGradNorm
        let scale = most > 0 && norm > most ? most / (norm + 1e-6) : 1
        steps += 1
        for (index, parameter) in parameters.enumerated() {
            backend.adamW(
                AdamWParameters(
                    learningRate: Float(learningRate), beta1: Float(settings.adamBeta1),
                    beta2: Float(settings.adamBeta2), epsilon: Float(settings.adamEpsilon),
                    weightDecay: parameter.decays ? Float(settings.weightDecay) : 0,
                    gradientScale: Float(scale), step: steps),
                value: parameter.value, gradient: parameter.gradient,
                firstMoment: firstMoments[index], secondMoment: secondMoments[index])
        }
        return norm
    }

    /// Sets all gradients to zero.
    package func zeroGradients() {
        for parameter in parameters { parameter.zeroGradient() }
    }
}
