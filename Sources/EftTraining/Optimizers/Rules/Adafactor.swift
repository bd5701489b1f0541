// SPDX-License-Identifier: Apache-2.0
// Adafactor (Shazeer and Stern 2018), as transformers computes it with a learning rate that is given.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// The means of squares of a matrix are kept by row and by column only.
struct Adafactor: UpdateRule {
    private static let floor = 1e-30
    private static let most = 1.0
    private static let decayPower = -0.8
    private let squares = FactoredMean(rows: "exp_avg_sq_row", columns: "exp_avg_sq_col")

    init(_ options: inout OptimizerOptions) {}

    let name = "adafactor"

    func state(of shape: ParameterShape) -> [StatePart] {
        shape.isMatrix ? squares.parts(shape) : [.f32("exp_avg_sq", shape.storedCount)]
    }

    func scratchBytes(for shape: ParameterShape) -> Int {
        shape.isMatrix ? FactoredMean.scratchBytes(shape) : 0
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) {
        target.scaleGradient(step)
        let gradient = target.parameter.gradient
        let beta = 1 - pow(Double(step.number), Self.decayPower)
        if target.parameter.shape.isMatrix {
            squares.divide(gradient, floor: Self.floor, beta: beta, target)
        } else {
            target.divideByRoot("exp_avg_sq", floor: Self.floor, beta: beta)
        }
        target.clip(gradient, to: Self.most)
        target.subtract(gradient, rate: step.learningRate, keep: step.keep)
    }
}

extension UpdateTarget {
    /// Adds the gradient's squares to a running mean, and divides the gradient by its root.
    func divideByRoot(_ name: String, floor: Double, beta: Double) {
        let (mean, gradient) = (state.row(name), parameter.gradient.floats)
        for index in 0..<mean.count {
            let square = gradient[index] * gradient[index] + Float(floor)
            mean.pointer[index] = mean.pointer[index] * Float(beta) + square * Float(1 - beta)
            gradient[index] /= mean.pointer[index].squareRoot()
        }
    }
}
