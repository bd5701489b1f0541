// SPDX-License-Identifier: Apache-2.0
// How far a model is from a reference, row by row.

/// How the next-token distribution of a row differs from a reference's, in nats.
package struct RowDivergence: Sendable, Hashable {
    /// KL(reference || other).
    package let divergence: Double
    /// Cross entropy of the reference with the label; 0 without a label.
    package let referenceLoss: Double
    /// Cross entropy of the other with the label; 0 without a label.
    package let loss: Double
    /// Whether both hold the same token for the likeliest.
    package let sameBest: Bool
    /// The share of the reference's five likeliest tokens that are among the other's.
    package let commonBest: Double

    /// States a difference.
    package init(
        divergence: Double, referenceLoss: Double, loss: Double, sameBest: Bool, commonBest: Double
    ) {
        self.divergence = divergence
        self.referenceLoss = referenceLoss
        self.loss = loss
        self.sameBest = sameBest
        self.commonBest = commonBest
    }
}

/// Sums of squares of matrices, of which the relative error comes; they add up over rows.
package struct StateDifference: Sendable, Hashable {
    /// Of the difference.
    package var difference = 0.0
    /// Of the reference.
    package var square = 0.0

    /// No rows yet.
    package init() {}

    /// Frobenius norm of the difference over that of the reference; 0 when both are 0.
    package var relativeError: Double {
        difference == 0 ? 0 : (difference / square).squareRoot()
    }

    /// Adds the sums of more rows.
    package static func += (sum: inout StateDifference, more: StateDifference) {
        sum.difference += more.difference
        sum.square += more.square
    }
}
