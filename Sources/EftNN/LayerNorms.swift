// SPDX-License-Identifier: Apache-2.0
// The norms of one decoder layer.
import EftTensor

/// The norms of whole rows; nil where a model has none at that place.
package struct LayerNorms: Sendable {
    /// Before attention.
    package let attention: Norm?
    /// Of attention's value, before it is added.
    package let attentionValue: Norm?
    /// Before the MLP. A parallel layer without one has the MLP read attention's norm.
    package let feedForward: Norm?
    /// Of the MLP's value, before it is added.
    package let feedForwardValue: Norm?

    /// Puts norms together.
    package init(
        attention: Norm?, attentionValue: Norm? = nil, feedForward: Norm?,
        feedForwardValue: Norm? = nil
    ) {
        self.attention = attention
        self.attentionValue = attentionValue
        self.feedForward = feedForward
        self.feedForwardValue = feedForwardValue
    }

    /// All that are there, with those of heads at their place.
    func inOrder(heads: [Norm]) -> [Norm] {
        [attention].compactMap { $0 } + heads
            + [attentionValue, feedForward, feedForwardValue].compactMap { $0 }
    }
}

/// The norms of queries and of keys.
package struct HeadNorms: Sendable {
    /// D numbers that all heads of queries share, or H * D of all heads at once.
    package let query: Norm
    /// The same of keys.
    package let key: Norm
    /// Whether their weights are the model's own, and not ones.
    private let isWeighted: Bool

    /// Pairs two norms.
    package init(query: Norm, key: Norm) {
        self.query = query
        self.key = key
        isWeighted = true
    }

    /// Norms without weights, of heads of D numbers.
    /// - Throws: `TensorError` when there is no memory.
    package init(headDim: Int, epsilon: Float) throws(TensorError) {
        let ones = try Buffer(byteCount: headDim * 4, ledger: nil, purpose: .weights)
        for index in 0..<headDim { ones.floats[index] = 1 }
        query = Norm(name: "", epsilon: epsilon, weight: ones)
        key = query
        isWeighted = false
    }

    /// Those that a checkpoint has.
    var weighted: [Norm] { isWeighted ? [query, key] : [] }
}
