// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019) with f32 state, as PyTorch computes it.
import EftNN
import EftTensor

/// First and second moments of all parameters, and the step that uses them.
package final class AdamW {
    /// Parameters in the order of the model.
    package let parameters: [Parameter]
    /// Running means of gradients and of their squares.
    package let moments: any Moments
    /// Steps made.
    package var steps = 0
    private let settings: TrainingSettings

    /// Takes memory for the state: in a temporary file in the output folder when the optimizer is paged.
    /// - Throws: `TensorError` when it does not fit a ledger, `FormatError` (`io`) when the disk has no room for it.
    package init(parameters: [Parameter], settings: TrainingSettings) throws {
        self.parameters = parameters
        self.settings = settings
        moments =
            settings.pagedOptimizer
            ? try PagedMoments(parameters, folder: settings.outputDir)
            : try ResidentMoments(parameters)
    }

    /// The norm of all gradients together.
    package func gradientNorm(_ backend: any Backend) -> Double {
        parameters.reduce(0) { $0 + backend.sumOfSquares($1.gradient) }.squareRoot()
    }

    /// One step at a learning rate, gradients scaled down to the norm of the settings.
    /// - Returns: the norm before scaling; when it is not finite nothing was changed.
    /// - Throws: `FormatError` (`io`) when paged state cannot be read or written; the state is lost then.
    @discardableResult
    package func step(learningRate: Double, _ backend: any Backend) throws -> Double {
        let norm = gradientNorm(backend)
        guard norm.isFinite else { return norm }
        let most = settings.maxGradNorm
        let scale = most > 0 && norm > most ? most / (norm + 1e-6) : 1
        steps += 1
        try moments.forEach { index, first, second in
            let parameter = parameters[index]
            backend.adamW(
                AdamWParameters(
                    learningRate: Float(learningRate * parameter.rateFactor(settings)),
                    beta1: Float(settings.adamBeta1),
                    beta2: Float(settings.adamBeta2), epsilon: Float(settings.adamEpsilon),
                    weightDecay: parameter.decays ? Float(settings.weightDecay) : 0,
                    gradientScale: Float(scale), step: steps),
                value: parameter.value, gradient: parameter.gradient, firstMoment: first,
                secondMoment: second)
        }
        return norm
    }

    /// Sets all gradients to zero.
    package func zeroGradients() {
        for parameter in parameters { parameter.zeroGradient() }
    }
}

extension Parameter {
    /// What the learning rate counts times: LoRA+ (Hayou et al. 2024) has a higher one for the second matrices.
    fileprivate func rateFactor(_ settings: TrainingSettings) -> Double {
        settings.loraPlusRatio != 1 && name.contains(".lora_B.") ? settings.loraPlusRatio : 1
    }
}
