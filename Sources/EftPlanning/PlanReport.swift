// SPDX-License-Identifier: Apache-2.0
// Plans of several stages side by side.
import EftConfig
import EftTensor

/// Plans of several stages against the same devices.
package struct PlanReport: Sendable, Hashable {
    /// Stages in order.
    package var stages: [StagePlan]
    /// Bytes that each device may hold; `Int.max` for no limit.
    package var limits: [Int]

    /// Makes a report.
    package init(stages: [StagePlan], limits: [Int]) {
        self.stages = stages
        self.limits = limits
    }

    /// Whether all stages fit.
    package var fits: Bool { stages.allSatisfy { $0.fits(limits) } }

    /// Purposes that any stage uses, in their order.
    package var purposes: [MemoryPurpose] {
        MemoryPurpose.allCases.filter { purpose in stages.contains { $0.memory[purpose] > 0 } }
    }

    /// Rows of a table, the header first: stage, a column a purpose, total, disk, verdict.
    package var rows: [[String]] {
        let header =
            ["stage"] + purposes.map(\.rawValue) + ["total", "disk", "fits \(budget)"]
        return [header]
            + stages.map { stage in
                [stage.name] + purposes.map { cell(stage.memory[$0]) }
                    + [cell(stage.memory.total), cell(stage.disk), verdict(stage)]
            }
    }

    /// Three significant digits.
    static func rate(_ value: Double) -> String {
        guard value.isFinite, value > 0 else { return "?" }
        let decimals = value < 9.995 ? 100.0 : value < 99.95 ? 10.0 : 1.0
        let rounded = (value * decimals).rounded() / decimals
        return decimals == 1 && rounded < 1e15 ? "\(Int(rounded))" : "\(rounded)"
    }

    /// A time in words, such as `22.4 ms`, `26 s`, `35 min`, `2.3 h`.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        if seconds < 0.9995 { return "\(rate(seconds * 1000)) ms" }
        if seconds < 120 { return "\((seconds * 10).rounded() / 10) s" }
        if seconds < 7200 { return "\(Int((seconds / 60).rounded())) min" }
        if seconds < 172_800 { return "\((seconds / 360).rounded() / 10) h" }
        return "\((seconds / 8640).rounded() / 10) days"
    }

    /// The devices in words, such as `24 GiB` or `4 x 24 GiB`.
    package var budget: String {
        guard limits.count > 1, let first = limits.first else {
            return formatBytes(limits.first ?? .max)
        }
        return limits.allSatisfy { $0 == first }
            ? "\(limits.count) x \(formatBytes(first))"
            : limits.map(formatBytes).joined(separator: " + ")
    }

    func verdict(_ stage: StagePlan) -> String {
        guard stage.fits(limits) else { return "no" }
        return stage.streaming == nil ? "yes" : "streamed"
    }

    private func cell(_ bytes: Int) -> String { bytes == 0 ? "-" : formatBytes(bytes) }

    /// One line for each stage that does not fit: what takes most, and what would make it fit; and one for each that
    /// fits by streaming layers.
    package var advice: [String] {
        stages.compactMap { stage in
            guard !stage.fits(limits) else {
                return stage.streaming.map { "\(stage.name): \($0)" }
            }
            return "\(stage.name): " + PlanReport.shortfall(stage, limits)
        }
    }

    /// By how much a stage does not fit, and what would make it fit.
    package static func shortfall(_ stage: StagePlan, _ limits: [Int]) -> String {
        let remedy =
            stage.remedy.map { "; it fits with \($0)" } ?? "; nothing smaller was found to fit"
        let over = stage.over(limits)
        guard over > 0 else {
            return "--gpu-split leaves no place for some of the layers" + remedy
        }
        return "\(formatBytes(over)) too much, most of it for " + stage.largestPurpose.rawValue
            + (stage.streaming.map { ", even with \($0)" } ?? "") + remedy
    }

    /// The report as an object for machines.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["limit"] = ConfigNode(.integer(limits.contains(.max) ? .max : limits.reduce(0, +)))
        object["limits"] = ConfigNode(.array(limits.map { ConfigNode(.integer($0)) }))
        object["fits"] = ConfigNode(.bool(fits))
        object["stages"] = ConfigNode(.array(stages.map { $0.node(limits: limits) }))
        return ConfigNode(.object(object))
    }
}
