// SPDX-License-Identifier: Apache-2.0
// CAME (Luo et al. 2023), as came-pytorch computes it.
import EftTensor

/// Adafactor with a mean of changes, each number of which counts the less the more it was off.
struct CAME: UpdateRule {
    var betas: (first: Double, second: Double, third: Double)
    var floors: (squares: Double, residuals: Double)
    var most: Double
    private let squares = FactoredMean(rows: "exp_avg_sq_row", columns: "exp_avg_sq_col")
    private let residuals = FactoredMean(rows: "exp_avg_res_row", columns: "exp_avg_res_col")

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        let settings = options.settings
        betas = (settings.beta1 ?? 0.9, settings.beta2 ?? 0.999, settings.beta3 ?? 0.9999)
        floors = (settings.epsilon ?? 1e-30, settings.epsilon2 ?? 1e-16)
        most = try options.number("clip_threshold", in: 1e-6...1e6) ?? 1
    }

    let name = "came"

    func state(of shape: ParameterShape) -> [StatePart] {
        let mean = StatePart.f32("exp_avg", shape.storedCount)
        guard shape.isMatrix else { return [mean, .f32("exp_avg_sq", shape.storedCount)] }
        return [mean] + squares.parts(shape) + residuals.parts(shape)
    }

    func scratchBytes(for shape: ParameterShape) -> Int {
        shape.isMatrix ? FactoredMean.scratchBytes(shape) : 0
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        target.scaleGradient(step)
        let (gradient, isMatrix) = (target.parameter.gradient, target.parameter.shape.isMatrix)
        if isMatrix {
            squares.divide(gradient, floor: floors.squares, beta: betas.second, target)
        } else {
            target.divideByRoot("exp_avg_sq", floor: floors.squares, beta: betas.second)
        }
        target.clip(gradient, to: most)
        let (mean, change) = (target.state.row("exp_avg"), target.row(gradient))
        target.backend.scale(mean, by: Float(betas.first))
        target.backend.addScaled(change, factor: Float(1 - betas.first), to: mean)
        // What the change differs from the mean by, in the place of the change; then the mean itself.
        target.backend.addScaled(mean, factor: -1, to: change)
        if isMatrix {
            residuals.adopt(
                mean, into: gradient, floor: floors.residuals, beta: betas.third, target)
        } else {
            change.pointer.update(from: mean.pointer, count: mean.count)
        }
        target.subtract(gradient, rate: step.learningRate, keep: step.keep)
    }
}

extension FactoredMean {
    /// Adds the squares of what `buffer` holds to the means, and has it hold `numbers` divided by the root of those.
    fileprivate func adopt(
        _ numbers: Matrix, into buffer: Buffer, floor: Double, beta: Double, _ target: UpdateTarget
    ) {
        let factors = factors(squaresOf: buffer, floor: floor, beta: beta, target)
        buffer.floats.update(from: numbers.pointer, count: numbers.count)
        if let factors {
            target.backend.scale(
                buffer, target.parameter.shape, rows: factors.rows, columns: factors.columns)
        }
    }
}
