// SPDX-License-Identifier: Apache-2.0
// The k likeliest tokens (Fan et al. 2018).

/// Keeps the k likeliest tokens, and those equal to the last of them.
package struct TopK: LogitsProcessor {
    /// At least 1.
    package let k: Int

    /// Makes the step.
    package init(k: Int) { self.k = k }

    package func process(_ logits: inout [Float], tokens: [Int32]) {
        guard k < logits.count else { return }
        let least = logits.sorted(by: >)[k - 1]
        for index in logits.indices where logits[index] < least { logits[index] = -.infinity }
    }
}
