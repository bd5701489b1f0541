// SPDX-License-Identifier: Apache-2.0
// Which layers stay in memory and which are streamed, stated before any memory is taken.
import EftFormats
import EftTensor

/// The record of one decoder layer: the records of its linear layers, one after the other.
package struct LayerRecord: Sendable, Hashable {
    /// Layouts of the linear layers, in the order of the computation.
    package let layouts: [WeightLayout]
    /// Where each one's record begins.
    package let offsets: [Int]
    /// Bytes of the record, a multiple of what direct reads ask for.
    package let byteCount: Int

    /// The record of layers of given layouts.
    package init(_ layouts: some Sequence<WeightLayout>) {
        self.layouts = Array(layouts)
        var (offsets, end) = ([Int](), 0)
        for layout in self.layouts {
            offsets.append(end)
            end += WeightRecord(layout).byteCount
        }
        self.offsets = offsets
        byteCount = roundUp(end, to: DirectFile.alignment)
    }
}

/// Where the weights of a decoder's layers stand during a run.
package struct WeightPlacement: Sendable, Hashable {
    /// The smallest window: one layer computes while the next is read.
    package static let smallestWindow = 2

    /// Number of layers.
    package let layers: Int
    /// Layers that are streamed, ascending; none when all stay in memory.
    package let streamed: [Int]
    /// Layers that the window holds; 0 when none is streamed.
    package let slots: Int
    /// Bytes of all weights that stay in memory.
    package let weightBytes: Int
    /// Bytes of the window.
    package let windowBytes: Int
    /// Bytes on disk of the streamed layers in panel form.
    package let diskBytes: Int

    /// Whether any layer is streamed.
    package var isStreaming: Bool { !streamed.isEmpty }
    /// Layers that stay in memory.
    package var residentLayers: Int { layers - streamed.count }

    /// The placement in words, such as `3 of 80 layers resident, 77 streamed`.
    package var summary: String {
        isStreaming
            ? "\(residentLayers) of \(layers) layers resident, \(streamed.count) streamed through a window "
                + "of \(slots) (\(formatBytes(windowBytes)))"
            : "all \(layers) layers resident"
    }
}

extension DecoderLayouts {
    /// The records of all layers.
    package var records: [LayerRecord] {
        let width = linears.count / max(layerCount, 1)
        return (0..<layerCount).map { LayerRecord(linears[$0 * width..<($0 + 1) * width]) }
    }

    /// All layers in memory.
    package var resident: WeightPlacement {
        WeightPlacement(
            layers: layerCount, streamed: [], slots: 0, weightBytes: byteCount, windowBytes: 0,
            diskBytes: 0)
    }

    /// Bytes of each layer, counted once for all placements that are tried.
    private struct Sizes {
        let all: Int
        /// Weights of a layer in memory.
        let held: [Int]
        /// Its record.
        let records: [Int]

        init(_ layouts: DecoderLayouts) {
            let records = layouts.records
            all = layouts.byteCount
            held = records.map { $0.layouts.reduce(0) { $0 + $1.byteCount } }
            self.records = records.map(\.byteCount)
        }
    }

    /// `count` layers streamed, spread evenly so that the reader works on while resident layers compute.
    ///
    /// A window that would hold all streamed layers saves nothing: then all stay in memory.
    package func streaming(
        _ count: Int, slots: Int = WeightPlacement.smallestWindow
    ) -> WeightPlacement {
        streaming(count, slots: slots, Sizes(self))
    }

    private func streaming(_ count: Int, slots: Int, _ sizes: Sizes) -> WeightPlacement {
        precondition(slots >= WeightPlacement.smallestWindow, "a window of less than two layers")
        let total = sizes.held.count
        guard count > slots, count <= total else { return resident }
        // Layer i is streamed when the share count / total reaches a whole number in it.
        let streamed = (0..<count).map { (($0 + 1) * total + count - 1) / count - 1 }
        let largest = streamed.reduce(0) { max($0, sizes.records[$1]) }
        return WeightPlacement(
            layers: total, streamed: streamed, slots: slots,
            weightBytes: sizes.all - streamed.reduce(0) { $0 + sizes.held[$1] },
            windowBytes: slots * largest,
            diskBytes: streamed.reduce(0) { $0 + sizes.records[$1] + PanelFile.footerBytes })
    }

    /// The placement with most layers in memory of those that `fits` accepts; when it accepts none, the one that takes
    /// least.
    /// - Parameter canStream: whether layers may be streamed at all (frozen ones may).
    package func placement(
        canStream: Bool = true, where fits: (WeightPlacement) throws -> Bool
    ) rethrows -> WeightPlacement {
        var last = resident
        if try fits(last) { return last }
        guard canStream, layerCount > WeightPlacement.smallestWindow else { return last }
        let (sizes, slots) = (Sizes(self), WeightPlacement.smallestWindow)
        for count in slots + 1...layerCount {
            last = streaming(count, slots: slots, sizes)
            if try fits(last) { break }
        }
        return last
    }
}
