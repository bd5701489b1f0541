// SPDX-License-Identifier: Apache-2.0
// How many experts stay in memory where they are streamed alone, stated before any memory is taken.
import EftTensor

/// The experts of one device's streamed layers, of which those in use and those used last are in memory.
package struct ExpertPlacement: Sendable, Hashable {
    /// The experts of one streamed layer.
    package struct Layer: Sendable, Hashable {
        /// Experts.
        package let count: Int
        /// Experts that a row chooses.
        package let perRow: Int
        /// Bytes that reading one takes, of the largest.
        package let expertBytes: Int

        /// Experts that so many rows can choose.
        fileprivate func most(rows: Int) -> Int {
            rows < count ? min(count, perRow * rows) : count
        }
    }

    /// The streamed layers, ascending.
    package let layers: [Layer]
    /// Experts for which there is a place.
    package let slots: Int
    /// Bytes of a place.
    package let slotBytes: Int

    /// All experts.
    package var count: Int { layers.reduce(0) { $0 + $1.count } }

    /// The fewest places: for all experts of a row at once, and for one that computes while another is read.
    package static func leastSlots(_ layers: [Layer]) -> Int {
        layers.reduce(2) { max($0, $1.perRow) }
    }

    /// Bytes that a pass of so many rows reads at most.
    package func mostReads(rows: Int) -> Int {
        layers.reduce(0) { $0 + $1.most(rows: rows) * $1.expertBytes }
    }

    /// Bytes that a pass of so many rows reads when all experts are chosen alike.
    package func usualReads(rows: Int) -> Double {
        Double(mostReads(rows: rows)) * (1 - min(1, Double(slots) / Double(max(1, count))))
    }
}

extension DevicePlacement {
    /// Bytes of weights and window.
    var heldBytes: Int { weightBytes + windowBytes }
}

extension DecoderLayouts {
    /// The experts of all layers of a part streamed alone, with so many places; nil where the part has no experts.
    package func streamingExperts(
        of part: DecoderPart? = nil, slots: Int
    ) -> DevicePlacement? {
        LayerSizes(self).streamingExperts(of: part ?? .whole(layers: layerCount), slots: slots)
    }
}

extension LayerSizes {
    /// The experts of a part streamed alone, with as many places as `fits` accepts, or with the fewest; nil where the part has no
    /// experts.
    func experts(
        of part: DecoderPart, where fits: (DevicePlacement) -> Bool
    ) -> DevicePlacement? {
        guard var best = streamingExperts(of: part, slots: 0), let all = best.experts,
            fits(best)
        else { return streamingExperts(of: part, slots: 0) }
        var (low, high) = (all.slots, max(all.slots, all.count))
        while low < high {
            let middle = low + (high - low + 1) / 2
            guard let placement = streamingExperts(of: part, slots: middle) else { return best }
            if fits(placement) { (best, low) = (placement, middle) } else { high = middle - 1 }
        }
        return best
    }

    /// The experts of a part streamed alone, with so many places, or as few or many as make sense.
    func streamingExperts(of part: DecoderPart, slots: Int) -> DevicePlacement? {
        let streamed = part.layers.filter { records[$0].experts != nil }
        let layers = streamed.compactMap { layer in
            records[layer].experts.map {
                ExpertPlacement.Layer(
                    count: $0.count, perRow: $0.perRow, expertBytes: records[layer].expertBytes)
            }
        }
        let count = layers.reduce(0) { $0 + $1.count }
        let least = ExpertPlacement.leastSlots(layers)
        guard !streamed.isEmpty, least < count else { return nil }
        let experts = ExpertPlacement(
            layers: layers, slots: max(least, min(slots, count)),
            slotBytes: layers.reduce(0) { max($0, $1.expertBytes) })
        return DevicePlacement(
            part: part, streamed: streamed, slots: 0,
            weightBytes: resident(part).weightBytes
                - streamed.reduce(0) { $0 + records[$1].expertWeightBytes },
            windowBytes: experts.slots * experts.slotBytes,
            diskBytes: streamed.reduce(0) { $0 + records[$1].fileBytes }, experts: experts)
    }
}
