// SPDX-License-Identifier: Apache-2.0
// Shapes of known models, for benchmarks.
import EftModels
import EftNN

/// Shapes by name.
package enum ModelShapes {
    /// TinyLlama-1.1B.
    package static let tinyLlama = DecoderDescription(
        architecture: "LlamaForCausalLM", vocabulary: 32000, layers: 22,
        shape: DecoderShape(
            hidden: 2048, intermediate: 5632, heads: 32, kvHeads: 4, headDim: 64, normEpsilon: 1e-5),
        rotary: RotaryEmbedding(headDim: 64, theta: 10000, scaling: .none), contextLength: 2048,
        tiedEmbeddings: false, queryKeyValueBias: false, outputBias: false, mlpBias: false,
        initializerRange: 0.02)

    /// The same with fewer layers, where the whole would take too long.
    package static func tinyLlama(layers: Int) -> DecoderDescription {
        var description = tinyLlama
        description.layers = layers
        return description
    }
}
