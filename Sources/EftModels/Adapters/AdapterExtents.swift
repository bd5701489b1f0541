// SPDX-License-Identifier: Apache-2.0
// What adapters take, layer by layer.
import EftNN

/// Highest rank and bytes of adapters, by the decoder layer that they act on.
package struct AdapterExtents: Sendable, Hashable {
    /// The highest rank; 0 without adapters.
    package var rank = 0
    /// The most inputs of a linear layer whose adapter uses dropout.
    package var droppedInputs = 0
    /// Bytes of A and B in f32 of each decoder layer.
    package var layers: [Int]
    /// Bytes of A and B of the head.
    package var head = 0

    /// No adapter on a decoder of so many layers.
    package init(layers: Int) { self.layers = Array(repeating: 0, count: layers) }

    /// Fresh adapters of one rank on all linear layers inside the decoder layers.
    package init(_ description: DecoderDescription, rank: Int, usesDropout: Bool = false) {
        let linears = description.linears(layer: 0)
        let bytes = linears.reduce(0) {
            $0 + LoRA.byteCount(inputs: $1.inputs, outputs: $1.outputs, rank: rank)
        }
        self.init(layers: description.layers)
        self.rank = rank
        if rank > 0, usesDropout { droppedInputs = linears.map(\.inputs).max() ?? 0 }
        layers = Array(repeating: bytes, count: description.layers)
    }

    /// Bytes of the adapters of a part.
    package func byteCount(_ part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        return layers[part.layers].reduce(0, +) + (part.holdsHead ? head : 0)
    }

    /// All bytes.
    package var byteCount: Int { layers.reduce(0, +) + head }

    /// Both adapters at once.
    package static func + (a: AdapterExtents, b: AdapterExtents) -> AdapterExtents {
        var sum = a
        sum.rank = max(a.rank, b.rank)
        sum.droppedInputs = max(a.droppedInputs, b.droppedInputs)
        sum.layers = zip(a.layers, b.layers).map(+)
        sum.head += b.head
        return sum
    }
}
