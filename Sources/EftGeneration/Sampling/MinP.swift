// SPDX-License-Identifier: Apache-2.0
// Minimum probability relative to the likeliest token (Nguyen et al. 2024).

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps tokens at least `minP` times as likely as the likeliest.
package struct MinP: LogitsProcessor {
    /// In (0, 1].
    package let minP: Float

    /// Makes the step.
    package init(minP: Float) { self.minP = minP }

    package func process(_ logits: inout [Float], tokens: [Int32]) {
        guard let top = logits.max() else { return }
        let least = top + log(minP)
        for index in logits.indices where logits[index] < least { logits[index] = -.infinity }
    }
}
