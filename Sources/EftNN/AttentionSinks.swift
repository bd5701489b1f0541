// SPDX-License-Identifier: Apache-2.0
// Learned scores that attention's softmax counts beside those of positions.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// A score for each head that stands for no position and has no value (gpt-oss): it takes a share of the softmax.
/// Changed only while a model is put together, hence unchecked.
package final class AttentionSinks: @unchecked Sendable {
    /// The path in the checkpoint.
    package let name: String
    /// H numbers.
    package let scores: Buffer
    /// The trainable view, in full training.
    package private(set) var parameter: Parameter?

    /// Wraps scores.
    package init(name: String, scores: Buffer) {
        self.name = name
        self.scores = scores
    }

    /// Takes memory for the gradient.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package func makeTrainable(ledger: MemoryLedger?) throws(TensorError) {
        parameter = try Parameter(name: name, value: scores, decays: false, ledger: ledger)
    }

    /// Makes attention's values `[T][H * D]` those with the sinks, and the logarithms of the softmax's sums `[T][H]` too.
    func apply(_ values: Matrix, logSumExp: Matrix) {
        let heads = logSumExp.columns
        let width = values.columns / heads
        for row in 0..<values.rows {
            for head in 0..<heads {
                let place = row * heads + head
                let distance = logSumExp.pointer[place] - scores.floats[head]
                // exp(lse) / (exp(lse) + exp(sink)), by what does not overflow.
                let z = expf(-abs(distance))
                let share = distance < 0 ? z / (1 + z) : 1 / (1 + z)
                logSumExp.pointer[place] =
                    max(logSumExp.pointer[place], scores.floats[head]) + log1pf(z)
                let start = values.pointer + row * values.columns + head * width
                for index in 0..<width { start[index] *= share }
            }
        }
    }

    /// Adds to the gradient, from the values with the sinks, their gradient and the logarithms of the sums.
    func addGradient(_ values: Matrix, dy: Matrix, logSumExp: Matrix) {
        guard let gradient = parameter?.activeGradient else { return }
        let heads = logSumExp.columns
        let width = values.columns / heads
        for row in 0..<values.rows {
            for head in 0..<heads {
                let share = expf(scores.floats[head] - logSumExp.pointer[row * heads + head])
                let start = row * values.columns + head * width
                var product: Float = 0
                for index in start..<start + width {
                    product += values.pointer[index] * dy.pointer[index]
                }
                gradient.floats[head] -= share * product
            }
        }
    }
}
