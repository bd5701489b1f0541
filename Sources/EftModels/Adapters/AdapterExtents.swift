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
    /// Bytes of the largest A or B of each decoder layer.
    package var largest: [Int]
    /// Bytes of A and B of the head.
    package var head = 0
    /// Bytes of the larger of them, as far as they are fresh.
    private var largestOfHead = 0

    /// No adapter on a decoder of so many layers.
    package init(layers: Int) {
        self.layers = Array(repeating: 0, count: layers)
        largest = self.layers
    }

    /// Adds the adapter of a linear layer.
    package mutating func add(layer: Int, inputs: Int, outputs: Int, rank: Int) {
        self.rank = max(self.rank, rank)
        layers[layer] += LoRA.byteCount(inputs: inputs, outputs: outputs, rank: rank)
        largest[layer] = max(largest[layer], max(inputs, outputs) * rank * 4)
    }

    /// Adds the adapter of the head.
    package mutating func addHead(inputs: Int, outputs: Int, rank: Int) {
        self.rank = max(self.rank, rank)
        head += LoRA.byteCount(inputs: inputs, outputs: outputs, rank: rank)
        largestOfHead = max(largestOfHead, max(inputs, outputs) * rank * 4)
    }

    /// Fresh adapters of one rank on all linear layers inside the decoder layers.
    package init(_ description: DecoderDescription, rank: Int, usesDropout: Bool = false) {
        self.init(layers: description.layers)
        guard rank > 0 else { return }
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                add(layer: layer, inputs: linear.inputs, outputs: linear.outputs, rank: rank)
                if usesDropout { droppedInputs = max(droppedInputs, linear.inputs) }
            }
        }
    }

    /// Bytes of the adapters of a part.
    package func byteCount(_ part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        return layers[part.layers].reduce(0, +) + (part.holdsHead ? head : 0)
    }

    /// Bytes of the largest A or B of a part.
    package func largest(_ part: DecoderPart) -> Int {
        max(largest[part.layers].max() ?? 0, part.holdsHead ? largestOfHead : 0)
    }

    /// All bytes.
    package var byteCount: Int { layers.reduce(0, +) + head }

    /// Both adapters at once.
    package static func + (a: AdapterExtents, b: AdapterExtents) -> AdapterExtents {
        var sum = a
        sum.rank = max(a.rank, b.rank)
        sum.droppedInputs = max(a.droppedInputs, b.droppedInputs)
        sum.layers = zip(a.layers, b.layers).map(+)
        sum.largest = zip(a.largest, b.largest).map(max)
        sum.head += b.head
        return sum
    }
}
