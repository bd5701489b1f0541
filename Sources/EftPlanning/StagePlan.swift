// SPDX-License-Identifier: Apache-2.0
// What one stage of the work will need.
import EftConfig
import EftModels
import EftTensor

/// The need of one stage: training, merging, running and so on.
package struct StagePlan: Sendable, Hashable {
    /// The stage, such as `train (QLoRA, NF4)`.
    package var name: String
    /// Which kind of work it is, where that is known.
    package var kind: StageKind?
    /// Peak bytes of each device by purpose. A stage with a single table works on one device, the largest there is.
    package var devices: [MemoryTable]
    /// Bytes of the tables that are never held at once, because devices peak at different times.
    package var notAtOnce = 0
    /// Scratch bytes of each device; empty for stages that hold no decoder.
    private var scratch: [Int] = []
    /// Bytes written to disk.
    package var disk: Int
    /// What the figures hold for, such as the context length.
    package var detail: String
    /// Where the weights stand; nil for stages that hold no decoder.
    package var placement: WeightPlacement?
    /// Most bytes of weights for each device, when a division was asked for.
    package var weightLimits: [Int]?
    /// How long it takes on this machine: a step of training, a token of each sequence that runs, the whole of a
    /// conversion; nil when that is not known.
    package var estimate: StageEstimate?
    /// The smallest change found that makes a stage fit which does not; nil when it fits or none was found.
    package var remedy: String?

    /// Makes a plan of a stage that works on one device.
    package init(
        name: String, memory: MemoryTable, disk: Int = 0, detail: String = "",
        remedy: String? = nil
    ) {
        self.name = name
        devices = [memory]
        self.disk = disk
        self.detail = detail
        self.remedy = remedy
    }

    /// Makes a plan of a stage that holds a decoder.
    package init(
        name: String, placed: PlacedMemory, weightLimits: [Int]? = nil, disk: Int = 0,
        detail: String = ""
    ) {
        self.name = name
        devices = placed.devices
        notAtOnce = placed.notAtOnce
        scratch = placed.scratch
        self.disk = disk + placed.placement.diskBytes
        self.detail = detail
        placement = placed.placement
        self.weightLimits = weightLimits
    }

    /// Scratch bytes of a device, which stages that work on it in turn share.
    func scratch(_ device: Int) -> Int { device < scratch.count ? scratch[device] : 0 }

    /// All devices together.
    package var memory: MemoryTable { devices.reduce(MemoryTable(), +) }

    /// Most bytes held at a time, on all devices together.
    package var peak: Int { memory.total - notAtOnce }

    /// The same plan, or one whose program takes so much on the first device that the peak is not less than `bytes`.
    package func atLeast(_ bytes: Int) -> StagePlan {
        var plan = self
        if bytes > peak, !devices.isEmpty { plan.devices[0][.program] += bytes - peak }
        return plan
    }

    /// The limit of the device whose table stands at a place.
    private func limit(_ device: Int, _ limits: [Int]) -> Int {
        devices.count == 1 ? limits.max() ?? .max : device < limits.count ? limits[device] : 0
    }

    /// Whether the stage fits devices of these limits, in bytes.
    package func fits(_ limits: [Int]) -> Bool {
        over(limits) == 0 && isDivided
    }

    /// Whether the weights keep to the division that was asked for.
    private var isDivided: Bool {
        guard let weightLimits, let placement else { return true }
        return placement.devices.enumerated().allSatisfy { device, place in
            place.part.isEmpty
                || (device < weightLimits.count && place.weightBytes <= weightLimits[device])
        }
    }

    /// Bytes by which devices are passed, all together.
    package func over(_ limits: [Int]) -> Int {
        devices.indices.reduce(0) {
            $0 + max(0, devices[$1].total - limit($1, limits))
        }
    }

    /// The streamed layers in words; nil when all stand in memory.
    package var streaming: String? {
        placement.flatMap { $0.isStreaming ? $0.summary : nil }
    }

    /// The purpose that takes most.
    package var largestPurpose: MemoryPurpose {
        let memory = memory
        return MemoryPurpose.allCases.max { memory[$0] < memory[$1] } ?? .weights
    }

    /// A line for each device, how full it is and what stands there; empty for a single device.
    package func deviceLines(_ limits: [Int]) -> [String] {
        guard devices.count > 1 else { return [] }
        return devices.indices.map { device in
            let (total, limit) = (devices[device].total, limit(device, limits))
            let share = limit == .max ? "" : " (\(total * 100 / max(limit, 1)) %)"
            let held = MemoryPurpose.allCases.filter { devices[device][$0] > 0 }
                .map { "\($0.rawValue) \(formatBytes(devices[device][$0]))" }
            let part = placement?.devices[device].part.summary
            let words = [part, held.isEmpty ? nil : held.joined(separator: ", ")]
            return "device \(device): \(formatBytes(total)) of \(formatBytes(limit))\(share): "
                + words.compactMap { $0 }.joined(separator: "; ")
        }
    }

    /// The plan as an object for machines; bytes throughout.
    package func node(limits: [Int]) -> ConfigNode {
        var object = ConfigObject()
        object["stage"] = ConfigNode(.string(name))
        object["detail"] = ConfigNode(.string(detail))
        object["memory"] = StagePlan.node(memory)
        object["disk"] = ConfigNode(.integer(disk))
        object["fits"] = ConfigNode(.bool(fits(limits)))
        object["limiting"] = ConfigNode(.string(largestPurpose.rawValue))
        if let placement, placement.isStreaming {
            object["resident_layers"] = ConfigNode(.integer(placement.residentLayers))
            object["streamed_layers"] = ConfigNode(.integer(placement.streamed.count))
            if placement.expertCount > 0 {
                object["experts"] = ConfigNode(.integer(placement.expertCount))
                object["experts_in_memory"] = ConfigNode(.integer(placement.expertSlots))
            }
            object["read_bytes_per_token"] = ConfigNode(.integer(placement.forwardReads()))
        }
        if devices.count > 1 {
            object["devices"] = ConfigNode(
                .array(devices.indices.map { deviceNode($0, limits) }))
        }
        if let estimate {
            object["seconds"] = ConfigNode(estimate.seconds)
            if let speed = estimate.tokensPerSecond {
                object["tokens_per_second"] = ConfigNode(speed)
            }
            object["bound_by"] = ConfigNode(estimate.limit.rawValue)
        }
        if let remedy { object["remedy"] = ConfigNode(.string(remedy)) }
        return ConfigNode(.object(object))
    }

    private static func node(_ table: MemoryTable) -> ConfigNode {
        var object = ConfigObject()
        for purpose in MemoryPurpose.allCases {
            object[purpose.rawValue] = ConfigNode(.integer(table[purpose]))
        }
        object["total"] = ConfigNode(.integer(table.total))
        return ConfigNode(.object(object))
    }

    private func deviceNode(_ device: Int, _ limits: [Int]) -> ConfigNode {
        var object = ConfigObject()
        object["limit"] = ConfigNode(.integer(limit(device, limits)))
        object["memory"] = StagePlan.node(devices[device])
        if let place = placement?.devices[device] {
            object["holds"] = ConfigNode(.string(place.part.summary))
            object["first_layer"] = ConfigNode(.integer(place.part.layers.lowerBound))
            object["layers"] = ConfigNode(.integer(place.part.layers.count))
            object["streamed_layers"] = ConfigNode(.integer(place.streamed.count))
        }
        return ConfigNode(.object(object))
    }
}
