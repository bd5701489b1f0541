// SPDX-License-Identifier: Apache-2.0
// Which device holds which layers, and which of those are streamed.
import EftTensor

/// A placement, and what each device holds with it.
package struct PlacedMemory: Sendable, Hashable {
    /// Where the weights stand.
    package var placement: WeightPlacement
    /// Peak bytes of each device by purpose.
    package var devices: [MemoryTable]
    /// Whether each device has room for its share.
    package var fits: Bool
    /// Bytes of the tables that are never held at once, because devices peak at different times.
    package var notAtOnce = 0
    /// Scratch bytes of each device, which decoders on the same device share.
    package var scratch: [Int] = []

    /// All devices together.
    package var total: MemoryTable { devices.reduce(MemoryTable(), +) }
}

/// Looks for the placement of a decoder over devices: as many layers in memory as fit, the first devices filled first.
///
/// When all layers fit, a device takes as many as it can hold, as ExLlamaV2's automatic split does. When they do not, and
/// may be streamed, devices take them in proportion to the room that they have for weights, and each streams the rest
/// of its own.
package struct PlacementSearch {
    /// Weights to place.
    package var layouts: DecoderLayouts
    /// Bytes that each device may hold.
    package var limits: [Int]
    /// Most bytes of weights for each device, as a manual split states them; the devices' whole room when nil.
    package var weightLimits: [Int]?
    /// Whether layers may be streamed (frozen ones may).
    package var canStream = true
    /// Whether experts may be streamed without the rest of their layers, which passes forward alone can do.
    package var expertsAlone = false
    /// Everything that a device holds beside weights and window.
    package var others: (_ device: Int, _ part: DecoderPart) -> MemoryTable
    /// A device's table once its weights stand; adds weights and window to the others unless replaced.
    package var whole: (_ others: MemoryTable, _ placement: DevicePlacement) -> MemoryTable

    /// States a search; see the properties.
    package init(
        layouts: DecoderLayouts, limits: [Int], weightLimits: [Int]? = nil, canStream: Bool = true,
        expertsAlone: Bool = false,
        others: @escaping (_ device: Int, _ part: DecoderPart) -> MemoryTable,
        whole: @escaping (_ others: MemoryTable, _ placement: DevicePlacement) -> MemoryTable =
            PlacementSearch.sum
    ) {
        precondition(!limits.isEmpty, "a decoder stands on at least one device")
        self.layouts = layouts
        self.limits = limits
        self.weightLimits = weightLimits
        self.canStream = canStream
        self.expertsAlone = expertsAlone
        self.others = others
        self.whole = whole
    }

    /// Weights and window beside everything else.
    package static func sum(_ others: MemoryTable, _ placement: DevicePlacement) -> MemoryTable {
        var table = others
        table[.weights] += placement.weightBytes
        table[.window] += placement.windowBytes
        return table
    }

    private var layerCount: Int { layouts.layerCount }

    /// The best placement found; one that does not fit says so.
    package func best() -> PlacedMemory {
        let sizes = LayerSizes(layouts)
        if let parts = filled(sizes) { return placed(parts, sizes) }
        guard canStream, weightLimits == nil else { return placed(crammed(sizes), sizes) }
        return placed(shared(sizes), sizes, streaming: true)
    }

    // MARK: All layers in memory

    /// Whether a device has room for a part, all its layers in memory.
    private func holds(_ device: Int, _ part: DecoderPart, _ sizes: LayerSizes) -> Bool {
        let placement = sizes.resident(part)
        if let weightLimits {
            guard device < weightLimits.count, placement.weightBytes <= weightLimits[device] else {
                return false
            }
        }
        return whole(others(device, part), placement).total <= limits[device]
    }

    /// Parts that fill one device after the other; nil when the last has no room for what is left.
    private func filled(_ sizes: LayerSizes) -> [DecoderPart]? {
        var parts: [DecoderPart] = []
        var next = 0
        for device in limits.indices {
            let rest = part(next..<layerCount, isTied: layouts.isTied)
            if rest.isEmpty || holds(device, rest, sizes) {
                parts.append(rest)
                next = layerCount
            } else {
                // The head's device keeps a layer, so the last layer is not for this one.
                let most = most(device, from: next, sizes)
                parts.append(part(next..<next + most, isTied: layouts.isTied))
                next += most
            }
        }
        return next == layerCount ? parts : nil
    }

    /// The most layers from `first` on that a device holds, all but the last layer of the decoder.
    private func most(_ device: Int, from first: Int, _ sizes: LayerSizes) -> Int {
        var (low, high) = (0, max(0, layerCount - 1 - first))
        while low < high {
            let middle = (low + high + 1) / 2
            let fits = holds(device, part(first..<first + middle, isTied: layouts.isTied), sizes)
            if fits { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// A part with the ends that belong to it: the head goes with the last layer, or with the embedding that it is.
    private func part(_ layers: Range<Int>, isTied: Bool) -> DecoderPart {
        guard !layers.isEmpty else { return DecoderPart(layers: layers) }
        let isFirst = layers.lowerBound == 0
        return DecoderPart(
            layers: layers, holdsEmbedding: isFirst,
            holdsHead: isTied ? isFirst : layers.upperBound == layerCount)
    }

    /// What is tried when nothing fits: devices filled in order, the last one with all that is left.
    private func crammed(_ sizes: LayerSizes) -> [DecoderPart] {
        var parts: [DecoderPart] = []
        var next = 0
        for device in limits.indices.dropLast() {
            let most = most(device, from: next, sizes)
            parts.append(part(next..<next + most, isTied: layouts.isTied))
            next += most
        }
        return parts + [part(next..<layerCount, isTied: layouts.isTied)]
    }

    // MARK: Some layers streamed

    /// Parts in proportion to the room that devices have for weights.
    private func shared(_ sizes: LayerSizes) -> [DecoderPart] {
        guard limits.count > 1 else { return [part(0..<layerCount, isTied: layouts.isTied)] }
        let even = max(1, layerCount / limits.count)
        let rooms = limits.indices.map { device -> Double in
            let first = min(device * even, max(0, layerCount - even))
            let last = device == limits.count - 1 ? layerCount : min(first + even, layerCount)
            let share = part(first..<last, isTied: layouts.isTied)
            let ends = sizes.resident(share).weightBytes - sizes.held(share.layers)
            let taken = others(device, share).total + ends + sizes.smallestWindow
            return Double(max(0, limits[device] - taken))
        }
        let sum = rooms.reduce(0, +)
        // Nothing has room: the largest device is to say what is missing.
        let weights =
            sum > 0
            ? rooms : limits.map { $0 == limits.max() ? 1.0 : 0.0 }
        let total = weights.reduce(0, +)
        var (parts, next, passed): ([DecoderPart], Int, Double) = ([], 0, 0)
        for weight in weights {
            passed += weight
            let end = Int((Double(layerCount) * passed / total).rounded())
            let bounded = min(max(end, next), layerCount)
            parts.append(part(next..<bounded, isTied: layouts.isTied))
            next = bounded
        }
        return parts
    }

    private func placed(
        _ parts: [DecoderPart], _ sizes: LayerSizes, streaming: Bool = false
    ) -> PlacedMemory {
        var (placements, tables, fits): ([DevicePlacement], [MemoryTable], Bool) = ([], [], true)
        for (device, part) in parts.enumerated() {
            let others = others(device, part)
            var placement = sizes.resident(part)
            var table = whole(others, placement)
            if streaming, table.total > limits[device], !part.isEmpty {
                placement = sizes.placement(of: part, expertsAlone: expertsAlone) {
                    whole(others, $0).total <= limits[device]
                }
                table = whole(others, placement)
            }
            fits = fits && table.total <= limits[device]
            if let weightLimits, !part.isEmpty {
                fits =
                    fits && device < weightLimits.count
                    && placement.weightBytes <= weightLimits[device]
            }
            placements.append(placement)
            tables.append(table)
        }
        return PlacedMemory(
            placement: WeightPlacement(devices: placements), devices: tables, fits: fits)
    }
}
