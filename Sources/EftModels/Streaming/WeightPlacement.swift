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
    /// Number of layers.
    package var layerCount: Int { linears.count / DecoderDescription.Role.allCases.count }

    /// The records of all layers.
    package var records: [LayerRecord] {
        let width = DecoderDescription.Role.allCases.count
        return (0..<layerCount).map { LayerRecord(linears[$0 * width..<($0 + 1) * width]) }
    }

    /// All layers in memory.
    package var resident: WeightPlacement {
        WeightPlacement(
            layers: layerCount, streamed: [], slots: 0, weightBytes: byteCount, windowBytes: 0,
            diskBytes: 0)
    }

    /// `count` layers streamed, spread evenly so that the reader works on while resident layers compute.
    ///
    /// A window that would hold all streamed layers saves nothing: then all stay in memory.
    package func streaming(
        _ count: Int, slots: Int = WeightPlacement.smallestWindow
    ) -> WeightPlacement {
        precondition(slots >= WeightPlacement.smallestWindow, "a window of less than two layers")
        let total = layerCount
        guard count > slots, count <= total else { return resident }
        let streamed = (0..<total).filter { ($0 + 1) * count / total > $0 * count / total }
        let records = records
        let chosen = streamed.map { records[$0] }
        let held = chosen.reduce(0) { sum, record in
            sum + record.layouts.reduce(0) { $0 + $1.byteCount }
        }
        return WeightPlacement(
            layers: total, streamed: streamed, slots: slots, weightBytes: byteCount - held,
            windowBytes: slots * (chosen.map(\.byteCount).max() ?? 0),
            diskBytes: chosen.reduce(0) { $0 + $1.byteCount + PanelFile.footerBytes })
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
        for count in WeightPlacement.smallestWindow + 1...layerCount {
            last = streaming(count)
            if try fits(last) { break }
        }
        return last
    }
}
