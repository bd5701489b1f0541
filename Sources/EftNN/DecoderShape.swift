// SPDX-License-Identifier: Apache-2.0
// The extents of one decoder layer.
import EftTensor

/// A mixture of experts: MLPs of which a router chooses some for each row.
package struct MixtureShape: Sendable, Hashable {
    /// E: number of experts.
    package var experts: Int
    /// How many of them act on a row.
    package var expertsPerRow: Int

    /// Makes a shape.
    package init(experts: Int, expertsPerRow: Int) {
        precondition(expertsPerRow > 0 && expertsPerRow <= experts)
        self.experts = experts
        self.expertsPerRow = expertsPerRow
    }
}

/// The extents and constants that all layers of a decoder share.
package struct DecoderShape: Sendable, Hashable {
    /// C: numbers of a hidden state.
    package var hidden: Int
    /// F: numbers inside the MLP.
    package var intermediate: Int
    /// H.
    package var heads: Int
    /// Hkv.
    package var kvHeads: Int
    /// D.
    package var headDim: Int
    /// Added to the mean square in norms.
    package var normEpsilon: Float
    /// Whether each head of queries and keys goes through a norm before it is rotated.
    package var normsHeads: Bool
    /// The experts among which each row chooses; nil where one MLP serves all rows.
    package var mixture: MixtureShape?

    /// Makes a shape.
    package init(
        hidden: Int, intermediate: Int, heads: Int, kvHeads: Int, headDim: Int, normEpsilon: Float,
        normsHeads: Bool = false, mixture: MixtureShape? = nil
    ) {
        self.hidden = hidden
        self.intermediate = intermediate
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.normEpsilon = normEpsilon
        self.normsHeads = normsHeads
        self.mixture = mixture
    }

    /// H * D.
    package var queryWidth: Int { heads * headDim }
    /// Hkv * D.
    package var keyWidth: Int { kvHeads * headDim }

    /// The attention's extents with keys and values of a type.
    package func attention(kvType: KVType) -> AttentionShape {
        AttentionShape(
            heads: heads, kvHeads: kvHeads, headDim: headDim,
            scale: 1 / Float(headDim).squareRoot(),
            kvType: kvType)
    }
}
