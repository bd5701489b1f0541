// SPDX-License-Identifier: Apache-2.0
// What an optimizer is: the state of a parameter, and how a step changes both.
import EftModels
import EftNN
import EftTensor

/// How parameters change by their gradients. One file each in `Rules`, and a line in `OptimizerTable`.
package protocol UpdateRule: Sendable {
    /// The name under which checkpoints keep its state: rules of one name read each other's.
    var name: String { get }
    /// Whether the values to be used are others than those that are trained.
    var averages: Bool { get }
    /// What is kept of a parameter between steps, all zero before the first.
    func state(of shape: ParameterShape) -> [StatePart]
    /// Bytes that the step of a parameter takes for a while.
    func scratchBytes(for shape: ParameterShape) -> Int
    /// Scratch memory that the products of a step take of the device.
    func productBytes(for shape: ParameterShape, on backend: any Backend) -> Int
    /// Bytes that the linear-algebra library takes in the step of a parameter.
    func libraryBytes(for shape: ParameterShape, on backend: any Backend) -> Int
    /// Changes a parameter and its state; may leave anything in the gradient.
    /// - Throws: `TensorError` when products lack memory.
    func update(_ target: UpdateTarget, _ step: OptimizerStep) throws(TensorError)
    /// Puts the values that are to be used in the place of those that are trained, when `averages`.
    func average(_ target: UpdateTarget)
}

extension UpdateRule {
    package var averages: Bool { false }
    package func scratchBytes(for shape: ParameterShape) -> Int { 0 }
    package func productBytes(for shape: ParameterShape, on backend: any Backend) -> Int { 0 }
    package func libraryBytes(for shape: ParameterShape, on backend: any Backend) -> Int { 0 }
    package func average(_ target: UpdateTarget) {}

    /// What the planner is told.
    package func need(isPaged: Bool) -> OptimizerNeed {
        OptimizerNeed(
            isPaged: isPaged, stateBytes: { StateLayout(state(of: $0)).byteCount },
            scratchBytes: { scratchBytes(for: $0) },
            productBytes: { productBytes(for: $0, on: $1) },
            libraryBytes: { libraryBytes(for: $0, on: $1) })
    }
}

/// The circumstances of a parameter's step.
package struct OptimizerStep: Sendable {
    /// The parameter's learning rate.
    package let learningRate: Double
    /// The parameter's weight decay.
    package let weightDecay: Double
    /// Factor of the gradient, from clipping.
    package let gradientScale: Double
    /// The number of the step, from 1.
    package let number: Int
    /// Steps of the schedule's warm-up.
    package let warmup: Int

    /// What decoupled weight decay leaves of a value.
    package var keep: Double { 1 - learningRate * weightDecay }

    /// One less a decay's power: what a moment that began at zero is divided by.
    package func correction(_ beta: Double) -> Double { 1 - power(beta, number) }
}

/// A parameter in its step.
package struct UpdateTarget {
    /// The parameter.
    package let parameter: Parameter
    /// Its shape, marked where it is one of the optimizer's targets.
    package let shape: ParameterShape
    /// What is kept of it.
    package let state: ParameterState
    /// Temporary memory, of at least what the rule states.
    package let scratch: Buffer?
    /// The parameter's device.
    package let backend: any Backend

    /// Makes a step of an element-wise rule, with the parts of the state that are named.
    package func apply(_ step: UpdateStep, _ parts: [String?]) {
        backend.update(
            step, value: parameter.value, gradient: parameter.gradient,
            states: parts.map { $0.flatMap { state[$0] } })
    }

    /// All numbers of a buffer of the parameter as a matrix of one row.
    package func row(_ buffer: Buffer) -> Matrix {
        Matrix(sharing: buffer, rows: 1, columns: buffer.floatCount)
    }

    /// Clips the gradient.
    package func scaleGradient(_ step: OptimizerStep) {
        guard step.gradientScale != 1 else { return }
        backend.scale(row(parameter.gradient), by: Float(step.gradientScale))
    }
}

/// A whole power, by squaring.
func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, factor, rest) = (1.0, base, exponent)
    while rest > 0 {
        if rest & 1 == 1 { result *= factor }
        factor *= factor
        rest >>= 1
    }
    return result
}
