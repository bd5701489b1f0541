// SPDX-License-Identifier: Apache-2.0
// What of a decoder one device holds.

/// Consecutive layers of a decoder that stand on one device, and the ends that stand beside them.
package struct DecoderPart: Sendable, Hashable {
    /// The layers; a device without any holds nothing at all.
    package var layers: Range<Int>
    /// Whether the embedding is here.
    package var holdsEmbedding: Bool
    /// Whether the last norm and the head are here.
    package var holdsHead: Bool

    /// Names a part.
    package init(layers: Range<Int>, holdsEmbedding: Bool = false, holdsHead: Bool = false) {
        self.layers = layers
        self.holdsEmbedding = holdsEmbedding
        self.holdsHead = holdsHead
    }

    /// A whole decoder on one device.
    package static func whole(layers: Int) -> DecoderPart {
        DecoderPart(layers: 0..<layers, holdsEmbedding: true, holdsHead: true)
    }

    /// Whether the device holds nothing.
    package var isEmpty: Bool { layers.isEmpty }

    /// The part in words, such as `embedding, layers 0-19`.
    package var summary: String {
        guard let first = layers.first, let last = layers.last else { return "nothing" }
        var words = holdsEmbedding ? ["embedding"] : []
        words.append(first == last ? "layer \(first)" : "layers \(first)-\(last)")
        if holdsHead { words.append("head") }
        return words.joined(separator: ", ")
    }
}

extension DecoderDescription {
    /// The only part of a decoder on one device.
    package var wholePart: DecoderPart { .whole(layers: layers) }
}
