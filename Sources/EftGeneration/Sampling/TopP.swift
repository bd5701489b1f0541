// SPDX-License-Identifier: Apache-2.0
// The nucleus of the distribution (Holtzman et al. 2019).

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps the likeliest tokens until their probabilities together reach p; always at least one.
package struct TopP: LogitsProcessor {
    /// In (0, 1].
    package let p: Float

    /// Makes the step.
    package init(p: Float) { self.p = p }

    package func process(_ logits: inout [Float], tokens: [Int32]) {
        guard p < 1, let top = logits.max(), top > -.infinity else { return }
        let order = logits.indices.filter { logits[$0] > -.infinity }
            .sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
        let weights = order.map { exp(Double(logits[$0] - top)) }
        let goal = Double(p) * weights.reduce(0, +)
        var reached = 0.0
        for (rank, index) in order.enumerated() {
            if reached >= goal { logits[index] = -.infinity }
            reached += weights[rank]
        }
    }
}
