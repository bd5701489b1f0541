// SPDX-License-Identifier: Apache-2.0
// A model whose counts are easily checked by hand.
import EftModels
import EftNN

extension DecoderDescription {
    /// 2 layers of 64 wide, head and embedding of 256.
    static let small = DecoderDescription(
        architecture: "LlamaForCausalLM", vocabulary: 256, layers: 2,
        shape: DecoderShape(
            hidden: 64, intermediate: 128, heads: 4, kvHeads: 2, headDim: 16, normEpsilon: 1e-5),
        rotary: RotaryEmbedding(headDim: 16, theta: 10000, scaling: .none), contextLength: 1024,
        tiedEmbeddings: false, queryKeyValueBias: false, outputBias: false, mlpBias: false,
        initializerRange: 0.02)
}
