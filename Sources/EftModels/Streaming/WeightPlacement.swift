// SPDX-License-Identifier: Apache-2.0
// Which layers stay in memory and which are streamed, stated before any memory is taken.
import EftFormats
import EftTensor

/// What of a layer is streamed.
package enum StreamedPart: Sendable, Hashable {
    /// All linear layers.
    case layer
    /// Those of experts.
    case experts

    /// Whether a linear layer is streamed.
    func contains(_ linear: DecoderDescription.LinearShape) -> Bool {
        self == .layer || linear.expert != nil
    }
}

/// Where the weights of one device's part of a decoder stand during a run.
package struct DevicePlacement: Sendable, Hashable {
    /// What the device holds of the decoder.
    package let part: DecoderPart
    /// Layers of the part that are streamed, ascending; none when all stay in memory.
    package let streamed: [Int]
    /// Layers that the window holds; 0 when none is streamed whole.
    package let slots: Int
    /// Bytes of all weights that stay in memory.
    package let weightBytes: Int
    /// Bytes of the window.
    package let windowBytes: Int
    /// Bytes on disk of the streamed layers in panel form.
    package let diskBytes: Int
    /// The experts of the streamed layers, where those alone are streamed and the rest of the layers stays; nil where whole layers
    /// pass through the window.
    package var experts: ExpertPlacement?

    /// Whether any layer is streamed.
    package var isStreaming: Bool { !streamed.isEmpty }
    /// Layers that are streamed whole.
    package var streamedWhole: [Int] { experts == nil ? streamed : [] }
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
    /// What is streamed, by layer.
    var streamedParts: [Int: StreamedPart] {
        var parts: [Int: StreamedPart] = [:]
        for device in devices {
            for layer in device.streamed {
                parts[layer] = device.experts == nil ? .layer : .experts
            }
        }
        return parts
    }
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
            guard !device.streamedWhole.isEmpty else { return sum }
            let layer = device.windowBytes / device.slots
            return sum + 2 * max(0, device.streamed.count - device.slots) * layer
        }
    }

    /// Bytes that a pass forward of so many rows reads at most: every streamed layer, or every expert that rows can choose, none of
    /// them in memory.
    package func forwardReads(rows: Int = 1) -> Int {
        devices.reduce(0) { sum, device in
            guard device.isStreaming else { return sum }
            if let experts = device.experts { return sum + experts.mostReads(rows: rows) }
            return sum + device.streamed.count * (device.windowBytes / device.slots)
        }
    }

    /// Bytes that a pass forward of so many rows reads, when rows choose experts evenly and as many of those as there are places
    /// are in memory.
    package func usualReads(rows: Int) -> Double {
        devices.reduce(0) { sum, device in
            if let experts = device.experts { return sum + experts.usualReads(rows: rows) }
            guard device.isStreaming else { return sum }
            return sum + Double(device.streamed.count * (device.windowBytes / device.slots))
        }
    }

    /// Experts that are streamed alone, on all devices.
    package var expertCount: Int { devices.reduce(0) { $0 + ($1.experts?.count ?? 0) } }
    /// Those of them for which memory has a place.
    package var expertSlots: Int { devices.reduce(0) { $0 + ($1.experts?.slots ?? 0) } }

    /// The placement in words, such as `3 of 80 layers resident, 77 streamed through a window of 2`.
    package var summary: String {
        guard isStreaming else { return "all \(layers) layers resident" }
        return [wholeSummary, expertSummary].compactMap(\.self).joined(separator: "; ")
    }

    private var wholeSummary: String? {
        let windows = devices.filter { !$0.streamedWhole.isEmpty }
        guard !windows.isEmpty else { return nil }
        let slots = windows.map { "\($0.slots)" }.joined(separator: "+")
        let bytes = windows.reduce(0) { $0 + $1.windowBytes }
        return "\(residentLayers) of \(layers) layers resident, "
            + "\(windows.reduce(0) { $0 + $1.streamed.count }) streamed through "
            + (windows.count == 1 ? "a window" : "windows") + " of \(slots) (\(formatBytes(bytes)))"
    }

    /// Such as `1290 of 6144 experts in memory (3.1 GiB), the others read when they are chosen: at most 960 MiB a token`.
    private var expertSummary: String? {
        let windows = devices.filter { $0.experts != nil }
        guard !windows.isEmpty else { return nil }
        let bytes = windows.reduce(0) { $0 + $1.windowBytes }
        let reads = windows.reduce(0) { $0 + ($1.experts?.mostReads(rows: 1) ?? 0) }
        return
            "\(expertSlots) of \(expertCount) experts in memory (\(formatBytes(bytes))), the others read when they "
            + "are chosen: at most \(formatBytes(reads)) a token"
    }
}

extension DecoderLayouts {
    /// Layouts of the linear layers of some decoder layers.
    package func linears(of layers: Range<Int>) -> [WeightLayout] {
        self.layers[layers].flatMap(\.self)
    }

    /// The records of all layers.
    package var records: [LayerRecord] {
        layers.indices.map { LayerRecord(layers[$0], experts: experts[$0]) }
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
    let records: [LayerRecord]

    init(_ layouts: DecoderLayouts) {
        self.layouts = layouts
        records = layouts.records
        held = records.map { $0.layouts.reduce(0) { $0 + $1.byteCount } }
    }

    /// Bytes of the linear layers of some decoder layers.
    func held(_ layers: Range<Int>) -> Int { held[layers].reduce(0, +) }

    /// Bytes of the smallest window for any layer.
    var smallestWindow: Int {
        (records.map(\.byteCount).max() ?? 0) * WeightPlacement.smallestWindow
    }

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
        let largest = streamed.reduce(0) { max($0, records[$1].byteCount) }
        return DevicePlacement(
            part: part, streamed: streamed, slots: slots,
            weightBytes: all.weightBytes - streamed.reduce(0) { $0 + held[$1] },
            windowBytes: slots * largest,
            diskBytes: streamed.reduce(0) { $0 + records[$1].fileBytes })
    }

    /// The placement with most in memory of those that `fits` accepts; when it accepts none, the one that takes least.
    /// - Parameter expertsAlone: whether experts may be streamed without the rest of their layers.
    func placement(
        of part: DecoderPart, expertsAlone: Bool, where fits: (DevicePlacement) -> Bool
    ) -> DevicePlacement {
        guard expertsAlone, let experts = experts(of: part, where: fits) else {
            return whole(of: part, where: fits)
        }
        if fits(experts) { return experts }
        let whole = whole(of: part, where: fits)
        return fits(whole) || whole.heldBytes < experts.heldBytes ? whole : experts
    }

    private func whole(
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
