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

/// Where the weights of one device's part of a decoder stand during a run.
package struct DevicePlacement: Sendable, Hashable {
    /// What the device holds of the decoder.
    package let part: DecoderPart
    /// Layers of the part that are streamed, ascending; none when all stay in memory.
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
}

/// Where the weights of a decoder's layers stand during a run, device by device.
package struct WeightPlacement: Sendable, Hashable {
    /// The smallest window: one layer computes while the next is read.
    package static let smallestWindow = 2

    /// The devices in order; some may hold nothing.
    package let devices: [DevicePlacement]

    /// Puts together what each device holds.
    package init(devices: [DevicePlacement]) { self.devices = devices }

    /// What each device holds.
    package var parts: [DecoderPart] { devices.map(\.part) }
    /// Number of layers.
    package var layers: Int { devices.reduce(0) { $0 + $1.part.layers.count } }
    /// Layers that are streamed, ascending.
    package var streamed: [Int] { devices.flatMap(\.streamed) }
    /// Whether any layer is streamed.
    package var isStreaming: Bool { devices.contains(where: \.isStreaming) }
    /// Layers that stay in memory.
    package var residentLayers: Int { layers - streamed.count }
    /// Bytes of all weights that stay in memory.
    package var weightBytes: Int { devices.reduce(0) { $0 + $1.weightBytes } }
    /// Bytes of all windows.
    package var windowBytes: Int { devices.reduce(0) { $0 + $1.windowBytes } }
    /// Bytes on disk of the streamed layers in panel form.
    package var diskBytes: Int { devices.reduce(0) { $0 + $1.diskBytes } }

    /// Bytes that a pass there and back reads: layers in the window at a turn are used again.
    package var trainingReads: Int {
        devices.reduce(0) { sum, device in
            guard device.isStreaming else { return sum }
            let layer = device.windowBytes / device.slots
            return sum + 2 * max(0, device.streamed.count - device.slots) * layer
        }
    }

    /// Bytes that a pass forward reads.
    package var forwardReads: Int {
        devices.reduce(0) {
            $0 + ($1.isStreaming ? $1.streamed.count * ($1.windowBytes / $1.slots) : 0)
        }
    }

    /// The placement in words, such as `3 of 80 layers resident, 77 streamed through a window of 2`.
    package var summary: String {
        guard isStreaming else { return "all \(layers) layers resident" }
        let windows = devices.filter(\.isStreaming)
        let slots = windows.map { "\($0.slots)" }.joined(separator: "+")
        return "\(residentLayers) of \(layers) layers resident, \(streamed.count) streamed through "
            + (windows.count == 1 ? "a window" : "windows") + " of \(slots) "
            + "(\(formatBytes(windowBytes)))"
    }
}

extension DecoderLayouts {
    /// Layouts of the linear layers of some decoder layers.
    package func linears(of layers: Range<Int>) -> [WeightLayout] {
        self.layers[layers].flatMap(\.self)
    }

    /// The records of all layers.
    package var records: [LayerRecord] {
        (0..<layerCount).map { LayerRecord(linears(of: $0..<$0 + 1)) }
    }

    /// All layers in memory, on one device.
    package var resident: WeightPlacement {
        WeightPlacement(devices: [LayerSizes(self).resident(.whole(layers: layerCount))])
    }

    /// `count` layers streamed, spread evenly so that the reader works on while resident layers compute; on one
    /// device.
    ///
    /// A window that would hold all streamed layers saves nothing: then all stay in memory.
    package func streaming(
        _ count: Int, slots: Int = WeightPlacement.smallestWindow
    ) -> WeightPlacement {
        let device = streaming(count, of: .whole(layers: layerCount), slots: slots)
        return WeightPlacement(devices: [device])
    }

    /// `count` layers of the part on one device streamed; see the other form.
    package func streaming(
        _ count: Int, of part: DecoderPart, slots: Int = WeightPlacement.smallestWindow
    ) -> DevicePlacement {
        LayerSizes(self).streaming(count, of: part, slots: slots)
    }
}

/// Bytes of each layer, counted once for all placements that are tried.
struct LayerSizes {
    private let layouts: DecoderLayouts
    /// Weights of a layer in memory, norms and biases left out.
    private let held: [Int]
    /// Its record.
    private let records: [Int]

    init(_ layouts: DecoderLayouts) {
        self.layouts = layouts
        let records = layouts.records
        held = records.map { $0.layouts.reduce(0) { $0 + $1.byteCount } }
        self.records = records.map(\.byteCount)
    }

    /// Bytes of the linear layers of some decoder layers.
    func held(_ layers: Range<Int>) -> Int { held[layers].reduce(0, +) }

    /// Bytes of the smallest window for any layer.
    var smallestWindow: Int { (records.max() ?? 0) * WeightPlacement.smallestWindow }

    /// All layers of a part in memory.
    func resident(_ part: DecoderPart) -> DevicePlacement {
        DevicePlacement(
            part: part, streamed: [], slots: 0,
            weightBytes: held(part.layers) + layouts.endBytes(part)
                + part.layers.count * layouts.layerVectorBytes,
            windowBytes: 0, diskBytes: 0)
    }

    /// `count` layers of a part streamed, spread evenly.
    func streaming(_ count: Int, of part: DecoderPart, slots: Int) -> DevicePlacement {
        precondition(slots >= WeightPlacement.smallestWindow, "a window of less than two layers")
        let (total, all) = (part.layers.count, resident(part))
        guard count > slots, count <= total else { return all }
        // Layer i is streamed when the share count / total reaches a whole number in it.
        let streamed = (0..<count).map {
            part.layers.lowerBound + (($0 + 1) * total + count - 1) / count - 1
        }
        let largest = streamed.reduce(0) { max($0, records[$1]) }
        return DevicePlacement(
            part: part, streamed: streamed, slots: slots,
            weightBytes: all.weightBytes - streamed.reduce(0) { $0 + held[$1] },
            windowBytes: slots * largest,
            diskBytes: streamed.reduce(0) { $0 + records[$1] + PanelFile.footerBytes })
    }

    /// The placement with most layers in memory of those that `fits` accepts; when it accepts none, the one that takes
    /// least.
    func placement(
        of part: DecoderPart, where fits: (DevicePlacement) -> Bool
    ) -> DevicePlacement {
        var last = resident(part)
        let slots = WeightPlacement.smallestWindow
        guard !fits(last), part.layers.count > slots else { return last }
        for count in slots + 1...part.layers.count {
            last = streaming(count, of: part, slots: slots)
            if fits(last) { break }
        }
        return last
    }
}
