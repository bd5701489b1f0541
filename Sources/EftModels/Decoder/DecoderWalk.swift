// SPDX-License-Identifier: Apache-2.0
// A forward pass layer by layer, so that something may be looked at between layers.
import EftNN
import EftTensor

/// A batch on its way through the layers of a decoder.
///
/// Keys and values go to the cache; the states stand in the workspace of the device that was last.
package struct DecoderWalk {
    private let decoder: Decoder
    private let batch: DecoderBatch
    private let cache: any KVCache
    private let workspace: DecoderWorkspace
    private var device: Int
    private var state: LayerPass
    /// The states `[T][C]`: the embeddings at first, then what the last layer gave. The next step overwrites them.
    package private(set) var hidden: Matrix
    /// The layer that is next.
    package private(set) var next = 0

    /// Embeds a batch.
    /// - Throws: `ModelError` for token ids beyond the vocabulary or a batch larger than the workspace.
    package init(
        _ decoder: Decoder, _ batch: DecoderBatch, cache: any KVCache, workspace: DecoderWorkspace
    ) throws {
        try decoder.check(batch, workspace)
        self.decoder = decoder
        self.batch = batch
        self.cache = cache
        self.workspace = workspace
        device = decoder.embeddingDevice
        let place = workspace[device]
        hidden = place.hidden.rows(0..<batch.count)
        try decoder.embed(batch, into: hidden, workspace)
        decoder.begin(.forward)
        place.fillPositions(batch, decoder.description.rotaries)
        state = decoder.layerPass(batch, cache: cache, place: place)
    }

    /// Whether all layers are done.
    package var isDone: Bool { next == decoder.layers.count }

    /// Computes the next layer.
    /// - Parameters:
    ///   - kept: the rows that somebody will look at, packed to the front of `hidden`; all rows when nil.
    ///   - observer: sees the inputs of the layer's linear layers, where all rows are kept.
    /// - Throws: `FormatError` when a streamed layer cannot be read, and what the observer throws.
    package mutating func step(
        keeping kept: [Int]? = nil, observer: DecoderLayer.Observer? = nil
    ) throws {
        enter(decoder.device(ofLayer: next))
        let (hidden, state) = (hidden, state)
        try decoder.withLayer(next) { layer in
            if let kept {
                try layer.forwardLast(hidden, keeping: kept, state)
            } else {
                try layer.forward(hidden, into: hidden, state, observer: observer)
            }
        }
        next += 1
    }

    /// Moves to a device.
    private mutating func enter(_ target: Int) {
        guard target != device else { return }
        device = target
        let place = workspace[device]
        hidden = hidden.moved(to: place.hidden.rows(0..<batch.count))
        place.fillPositions(batch, decoder.description.rotaries)
        state = decoder.layerPass(batch, cache: cache, place: place)
    }

    /// The states on the device of the head.
    package func atHead() -> Matrix {
        hidden.moved(to: workspace[decoder.headDevice].hidden.rows(0..<batch.count))
    }
}
