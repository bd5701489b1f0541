// SPDX-License-Identifier: Apache-2.0
// The pages of whole sequences for layers that stand on several devices.
import EftTensor

/// A `PassCache` for each layer; layers of one device share one.
package final class SplitPassCache: KVCache {
    package let kvType = KVType.f32
    private let layers: [PassCache]

    /// Puts together the caches of all layers, in order.
    package init(_ layers: [PassCache]) { self.layers = layers }

    /// The cache of a layer.
    package subscript(layer: Int) -> PassCache { layers[layer] }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        layers[layer].attentionRuns(layer: layer, batch: batch)
    }
}
