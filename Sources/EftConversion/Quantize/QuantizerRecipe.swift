// SPDX-License-Identifier: Apache-2.0
// How the numbers of a quantized matrix are chosen.

/// How a matrix is quantized.
package struct QuantizerRecipe: Sendable, Hashable {
    /// How the scales of a group are chosen.
    package enum Scales: Sendable, Hashable {
        /// By each column's largest number, and one clipping of all by the sum of errors to the power 3.5.
        case clipping
        /// By what the errors cost: each column takes that scale of 1...16 whose squared errors, weighted with what a
        /// rounding error of each row loses of the outputs, have the least sum; and the group that largest scale under
        /// which these sums are least.
        case losses
        /// By what the errors cost, with a scale of its own for each output in half precision, as GPTQ's files have it.
        case own
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
    /// Whether inputs are quantized by falling activity, or in their order.
    package var isSorted = true

    /// Whether values are codes times scales as they are, not rounded to halves: what readers of the files compute.
    var isExact: Bool { scales == .own }
    /// Bytes of a group's scale for an output.
    var scaleBytes: Int { scales == .own ? 2 : 1 }

    /// What ExLlamaV2's converter does.
    package static let exllamav2 = QuantizerRecipe(
        scales: .clipping, damping: .mean(0.12), descents: 0)
    /// What loses least of the outputs on text that calibration never saw.
    package static let eft = QuantizerRecipe(
        scales: .losses, damping: .median(0.3), descents: 3)

    /// The same with the scales of GPTQ's files.
    package static func gptq(sorted: Bool) -> QuantizerRecipe {
        QuantizerRecipe(
            scales: .own, damping: .median(0.3), descents: 3, isSorted: sorted)
    }
}
