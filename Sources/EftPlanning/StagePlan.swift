// SPDX-License-Identifier: Apache-2.0
// What one stage of the work will need.
import EftConfig
import EftModels
import EftTensor

/// The need of one stage: training, merging, running and so on.
package struct StagePlan: Sendable, Hashable {
    /// The stage, such as `train (QLoRA, NF4)`.
    package var name: String
    /// Peak bytes by purpose.
    package var memory: MemoryTable
    /// Bytes written to disk.
    package var disk: Int
    /// What the figures hold for, such as the context length.
    package var detail: String
    /// Where the weights of the layers stand; nil for stages that hold no decoder.
    package var placement: WeightPlacement?
    /// The smallest change found that makes a stage fit which does not; nil when it fits or none was found.
    package var remedy: String?

    /// Makes a plan.
    package init(
        name: String, memory: MemoryTable, disk: Int = 0, detail: String = "",
        placement: WeightPlacement? = nil, remedy: String? = nil
    ) {
        self.name = name
        self.memory = memory
        self.disk = disk
        self.detail = detail
        self.placement = placement
        self.remedy = remedy
    }

    /// Whether the stage fits in `limit` bytes.
    package func fits(_ limit: Int) -> Bool { memory.total <= limit }

    /// The streamed layers in words; nil when all stand in memory.
    package var streaming: String? {
        placement.flatMap { $0.isStreaming ? $0.summary : nil }
    }

    /// The purpose that takes most.
    package var largestPurpose: MemoryPurpose {
        MemoryPurpose.allCases.max { memory[$0] < memory[$1] } ?? .weights
    }

    /// The plan as an object for machines; bytes throughout.
    package func node(limit: Int) -> ConfigNode {
        var memoryObject = ConfigObject()
        for purpose in MemoryPurpose.allCases {
            memoryObject[purpose.rawValue] = ConfigNode(.integer(memory[purpose]))
        }
        memoryObject["total"] = ConfigNode(.integer(memory.total))
        var object = ConfigObject()
        object["stage"] = ConfigNode(.string(name))
        object["detail"] = ConfigNode(.string(detail))
        object["memory"] = ConfigNode(.object(memoryObject))
        object["disk"] = ConfigNode(.integer(disk))
        object["fits"] = ConfigNode(.bool(fits(limit)))
        object["limiting"] = ConfigNode(.string(largestPurpose.rawValue))
        if let placement, placement.isStreaming {
            object["resident_layers"] = ConfigNode(.integer(placement.residentLayers))
            object["streamed_layers"] = ConfigNode(.integer(placement.streamed.count))
        }
        if let remedy { object["remedy"] = ConfigNode(.string(remedy)) }
        return ConfigNode(.object(object))
    }
}

/// Plans of several stages against one limit.
package struct PlanReport: Sendable, Hashable {
    /// Stages in order.
    package var stages: [StagePlan]
    /// Bytes that may be held; `Int.max` for no limit.
    package var limit: Int

    /// Makes a report.
    package init(stages: [StagePlan], limit: Int) {
        self.stages = stages
        self.limit = limit
    }

    /// Whether all stages fit.
    package var fits: Bool { stages.allSatisfy { $0.fits(limit) } }

    /// Purposes that any stage uses, in their order.
    package var purposes: [MemoryPurpose] {
        MemoryPurpose.allCases.filter { purpose in stages.contains { $0.memory[purpose] > 0 } }
    }

    /// Rows of a table, the header first: stage, a column a purpose, total, disk, verdict.
    package var rows: [[String]] {
        let header =
            ["stage"] + purposes.map(\.rawValue) + ["total", "disk", "fits \(formatBytes(limit))"]
        return [header]
            + stages.map { stage in
                [stage.name] + purposes.map { cell(stage.memory[$0]) }
                    + [
                        cell(stage.memory.total), cell(stage.disk),
                        stage.fits(limit) ? stage.streaming == nil ? "yes" : "streamed" : "no",
                    ]
            }
    }

    private func cell(_ bytes: Int) -> String { bytes == 0 ? "-" : formatBytes(bytes) }

    /// One line for each stage that does not fit: what takes most, and what would make it fit; and one for each that
    /// fits by streaming layers.
    package var advice: [String] {
        stages.compactMap { stage in
            guard !stage.fits(limit) else {
                return stage.streaming.map { "\(stage.name): \($0)" }
            }
            let over = formatBytes(stage.memory.total - limit)
            let remedy =
                stage.remedy.map { "; it fits with \($0)" } ?? "; nothing smaller was found to fit"
            return
                "\(stage.name): \(over) too much, most of it for \(stage.largestPurpose.rawValue)"
                + (stage.streaming.map { ", even with \($0)" } ?? "") + remedy
        }
    }

    /// The report as an object for machines.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["limit"] = ConfigNode(.integer(limit))
        object["fits"] = ConfigNode(.bool(fits))
        object["stages"] = ConfigNode(.array(stages.map { $0.node(limit: limit) }))
        return ConfigNode(.object(object))
    }
}
