// SPDX-License-Identifier: Apache-2.0
// The norms of a decoder: which there are, what they are called, how they compute.
import EftNN
import EftTensor

/// The norms of a decoder; Llama's form where not set. Names stand below the layer's path.
package struct NormPlan: Sendable, Hashable {
    /// How norms of whole rows divide.
    package var kind = NormKind.rms
    /// Whether those have a bias.
    package var hasBias = false
    /// What checkpoints take away from all weights of norms: 1 where they hold the distance from one.
    package var offset: Float = 0
    /// Before attention.
    package var attention: String? = "input_layernorm"
    /// Of attention's value.
    package var attentionValue: String?
    /// Before the MLP.
    package var feedForward: String? = "post_attention_layernorm"
    /// Of the MLP's value.
    package var feedForwardValue: String?
    /// Of queries and of keys.
    package var query = "self_attn.q_norm"
    package var key = "self_attn.k_norm"
    /// Of the vectors of latent attention, and what is added in them.
    package var queryVector = "self_attn.q_a_layernorm"
    package var latentVector = "self_attn.kv_a_layernorm"
    package var vectorEpsilon: Float = 1e-6
    /// Of the values of linear attention or of a state-space layer; checkpoints hold its weight as it is.
    package var linearValue = "linear_attn.norm"
    /// Whether queries and keys are normed in all heads at once.
    package var normsHeadsTogether = false
    /// Whether the norms of queries and keys have weights.
    package var weighsHeads = true

    /// Llama's form.
    package init() {}
}

extension DecoderDescription {
    /// Norms the values of attention and of the MLP, and nothing before them, under the names that families have for it.
    mutating func normOnlyValues() {
        shape.normsValues = true
        norms.attention = nil
        norms.attentionValue = "post_attention_layernorm"
        norms.feedForward = nil
        norms.feedForwardValue = "post_feedforward_layernorm"
    }

    /// Name and form of a norm.
    package struct NormShape: Sendable, Hashable {
        /// The path in the checkpoint.
        package let name: String
        /// Numbers of the weight.
        package let count: Int
        /// How it divides.
        package let kind: NormKind
        /// Whether it has a bias, as long as the weight.
        package let hasBias: Bool
        /// What the checkpoint takes away from the weight.
        package let offset: Float
        /// Added to the mean square or the variance.
        package let epsilon: Float

        /// Numbers of weight and bias.
        package var numbers: Int { hasBias ? 2 * count : count }

        /// The names of weight and bias.
        package var parts: [String] { [name + ".weight"] + (hasBias ? [name + ".bias"] : []) }

        /// Makes the norm of a weight that holds what is multiplied by.
        package func norm(weight: Buffer, bias: Buffer? = nil) -> Norm {
            Norm(
                name: name, kind: kind, epsilon: epsilon, weight: weight, bias: bias, offset: offset
            )
        }
    }

    /// The norms of a decoder layer.
    package struct LayerNormShapes: Sendable, Hashable {
        package let attention: NormShape?
        package let queryVector: NormShape?
        package let latentVector: NormShape?
        package let linearValue: NormShape?
        package let query: NormShape?
        package let key: NormShape?
        package let attentionValue: NormShape?
        package let feedForward: NormShape?
        package let feedForwardValue: NormShape?

        /// All that there are, in the order of the computation.
        package var all: [NormShape] {
            [
                attention, queryVector, latentVector, linearValue, query, key, attentionValue,
                feedForward,
                feedForwardValue,
            ].compactMap { $0 }
        }
    }

    private func rowNorm(_ path: String) -> NormShape {
        NormShape(
            name: path, count: shape.hidden, kind: norms.kind, hasBias: norms.hasBias,
            offset: norms.offset, epsilon: shape.normEpsilon)
    }

    private func headNorm(_ path: String, heads: Int) -> NormShape {
        NormShape(
            name: path, count: shape.headDim * (norms.normsHeadsTogether ? heads : 1), kind: .rms,
            hasBias: false, offset: norms.offset, epsilon: shape.normEpsilon)
    }

    private func vectorNorm(_ path: String, _ count: Int?) -> NormShape? {
        count.map {
            NormShape(
                name: path, count: $0, kind: .rms, hasBias: false, offset: norms.offset,
                epsilon: norms.vectorEpsilon)
        }
    }

    /// The norms of a decoder layer.
    package func layerNorms(_ layer: Int) -> LayerNormShapes {
        let path = layerName(layer) + "."
        func row(_ name: String?) -> NormShape? { name.map { rowNorm(path + $0) } }
        let layerShape = self.shape(layer: layer)
        let weighsHeads = layerShape.normsHeads && norms.weighsHeads
        return LayerNormShapes(
            attention: row(norms.attention),
            queryVector: vectorNorm(path + norms.queryVector, shape.latent?.queryRank),
            latentVector: vectorNorm(path + norms.latentVector, shape.latent?.rank),
            linearValue: (layerShape.mixer?.delta?.delta.valueDim
                ?? layerShape.mixer?.space?.width).map {
                    NormShape(
                        name: path + norms.linearValue, count: $0, kind: .rms,
                        hasBias: false, offset: 0, epsilon: shape.normEpsilon)
                },
            query: weighsHeads ? headNorm(path + norms.query, heads: shape.heads) : nil,
            key: weighsHeads ? headNorm(path + norms.key, heads: shape.kvHeads) : nil,
            attentionValue: row(norms.attentionValue), feedForward: row(norms.feedForward),
            feedForwardValue: row(norms.feedForwardValue))
    }

    /// The norm before the head.
    package var finalNorm: NormShape { rowNorm(names.finalNorm) }

    /// All norms of a decoder layer, in the order of the computation.
    package func norms(layer: Int) -> [NormShape] { layerNorms(layer).all }
}
