// SPDX-License-Identifier: Apache-2.0
// Repetition penalty (Keskar et al. 2019).

/// Makes tokens of the sequence less likely: positive logits are divided by the penalty, negative ones multiplied.
package struct RepetitionPenalty: LogitsProcessor {
    /// Above 1 discourages, below 1 encourages.
    package let penalty: Float

    /// Makes the step.
    package init(penalty: Float) { self.penalty = penalty }

    package func process(_ logits: inout [Float], tokens: [Int32]) {
        for token in Set(tokens) {
            let index = Int(token)
            guard logits.indices.contains(index) else { continue }
            logits[index] = logits[index] > 0 ? logits[index] / penalty : logits[index] * penalty
        }
    }
}
