// SPDX-License-Identifier: Apache-2.0
// The pages of whole sequences for layers that stand on several devices.
import EftTensor

/// A `PassCache` for each layer; layers of one device share one.
package final class SplitPassCache: KVCache {
    package let kvType: KVType
    private let layers: [PassCache]

    /// Puts together the caches of all layers, in order; all hold the same type.
    package init(_ layers: [PassCache]) {
        self.layers = layers
        kvType = layers.first?.kvType ?? .f32
        precondition(layers.allSatisfy { $0.kvType == kvType }, "caches of several types")
    }

    /// The cache of a layer.
    package subscript(layer: Int) -> PassCache { layers[layer] }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        layers[layer].attentionRuns(layer: layer, batch: batch)
    }
}
