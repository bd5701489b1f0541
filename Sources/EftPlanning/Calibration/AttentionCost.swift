// SPDX-License-Identifier: Apache-2.0
// Operations of attention, counted the same way where they are measured and where they are estimated.
import EftNN

enum AttentionCost {
    /// Products of the backward pass (scores again, and four gradients) for each two of the forward pass.
    static let backwardFactor = 2.5
}

extension DecoderShape {
    /// Operations of causal attention of `rows` tokens of one sequence from a position on: each token's scores and
    /// values over all tokens up to itself, or over those of its window.
    func attentionOperations(rows: Int, firstPosition: Int, window: Int? = nil) -> Double {
        let last = firstPosition + rows
        // Rows before the window is full see one position more each.
        let growing = max(0, min(last, window ?? last) - firstPosition)
        let seen =
            Double(growing) * Double(firstPosition)
            + Double(growing) * Double(growing + 1) / 2
        let pairs = seen + Double(rows - growing) * Double(min(window ?? last, last))
        return 4 * pairs * Double(queryWidth)
    }
}
