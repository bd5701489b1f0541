// SPDX-License-Identifier: Apache-2.0
// How the numbers of an EXL2 matrix are chosen; the format is the same.

/// How a matrix is quantized to EXL2.
package struct QuantizerRecipe: Sendable, Hashable {
    /// How the scales of a group are chosen.
    package enum Scales: Sendable, Hashable {
        /// By each column's largest number, and one clipping of all by the sum of errors to the power 3.5.
        case clipping
        /// By what the errors cost: each column takes that scale of 1...16 whose squared errors, weighted with what a
        /// rounding error of each row loses of the outputs, have the least sum; and the group that largest scale under
        /// which these sums are least.
        case losses
    }

    /// What is added to the diagonal of a Hessian before its inverse is taken.
    package enum Damping: Sendable, Hashable {
        /// A share of the diagonal's mean.
        case mean(Double)
        /// A share of the diagonal's median, which a few inputs of great activity do not move.
        case median(Double)
    }

    /// How scales are chosen.
    package let scales: Scales
    /// How Hessians are damped.
    package let damping: Damping
    /// Passes of coordinate descent over the codes, behind GPTQ.
    package let descents: Int

    /// What ExLlamaV2's converter does.
    package static let exllamav2 = QuantizerRecipe(
        scales: .clipping, damping: .mean(0.12), descents: 0)
    /// What loses least of the outputs on text that calibration never saw.
    package static let eft = QuantizerRecipe(
        scales: .losses, damping: .median(0.3), descents: 3)
}
