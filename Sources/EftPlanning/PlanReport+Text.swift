// SPDX-License-Identifier: Apache-2.0
// A report in a narrow table, and all that is known of each stage.
import EftModels
import EftTensor

extension PlanReport {
    /// Rows of a table of less than 80 columns, the header first: stage, memory, disk, speed, verdict.
    package var summaryRows: [[String]] {
        [["stage", "memory", "disk", "speed", "fits"]]
            + stages.map { stage in
                [
                    stage.name, formatBytes(stage.memory.total),
                    stage.disk == 0 ? "-" : formatBytes(stage.disk), speed(stage) ?? "-",
                    verdict(stage),
                ]
            }
    }

    /// The speed or the time of a stage in a few words; nil when it is not known.
    private func speed(_ stage: StagePlan) -> String? {
        guard let estimate = stage.estimate else { return nil }
        if stage.kind?.isGeneration == true, let speed = estimate.tokensPerSecond {
            return "\(PlanReport.rate(speed)) tokens/s"
        }
        let time = PlanReport.duration(estimate.seconds)
        switch stage.kind {
        case .trainAll, .trainLoRA, .trainQLoRA: return time + " a step"
        default: return time
        }
    }

    /// All that is known of each stage: a heading and lines below it.
    package var details: [(heading: String, lines: [String])] {
        stages.map { stage in
            var lines: [String] = []
            if !stage.detail.isEmpty { lines.append(stage.detail) }
            let parts = MemoryPurpose.allCases.filter { stage.memory[$0] > 0 }
                .map { "\($0.rawValue) \(formatBytes(stage.memory[$0]))" }
            lines.append(
                "memory \(formatBytes(stage.memory.total)): " + parts.joined(separator: ", "))
            if stage.disk > 0 { lines.append("disk \(formatBytes(stage.disk))") }
            if let estimate = stage.estimate {
                let rate =
                    estimate.tokensPerSecond.map { "\(PlanReport.rate($0)) tokens/s, " } ?? ""
                lines.append(
                    rate + "\(PlanReport.duration(estimate.seconds)), bound by "
                        + estimate.limit.rawValue)
            }
            lines += stage.deviceLines(limits)
            if stage.fits(limits) {
                if let streaming = stage.streaming { lines.append(streaming) }
            } else {
                lines.append("does not fit: " + PlanReport.shortfall(stage, limits))
            }
            return (stage.name, lines)
        }
    }

    /// Puts conversions between training and running.
    package mutating func add(conversions: [StagePlan]) {
        let place = stages.firstIndex { $0.kind?.isGeneration == true } ?? stages.endIndex
        stages.insert(contentsOf: conversions, at: place)
    }

    /// A count with three significant digits: `8.03 billion`, `135 million`, `3456`.
    static func count(_ value: Int) -> String {
        for (unit, name) in [(1_000_000_000, "billion"), (1_000_000, "million")]
        where value >= unit {
            return "\(rate(Double(value) / Double(unit))) \(name)"
        }
        return "\(value)"
    }
}
