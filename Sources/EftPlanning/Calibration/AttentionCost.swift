// SPDX-License-Identifier: Apache-2.0
// Operations of attention, counted the same way where they are measured and where they are estimated.
import EftNN

enum AttentionCost {
    /// Products of the backward pass (scores again, and four gradients) for each two of the forward pass.
    static let backwardFactor = 2.5
}

extension DecoderShape {
    /// Operations of causal attention of `rows` tokens of one sequence from a position on: each token's scores and
    /// values over all tokens up to itself.
    func attentionOperations(rows: Int, firstPosition: Int) -> Double {
        let (rows, first) = (Double(rows), Double(firstPosition))
        let pairs = rows * first + rows * (rows + 1) / 2
        return 4 * pairs * Double(queryWidth)
    }
}
