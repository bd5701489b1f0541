// SPDX-License-Identifier: Apache-2.0
// Timing that can be trusted on a shared machine: repeat, take the median.
import EftConfig
import EftTensor

/// Times work.
package enum Stopwatch {
    /// Seconds that `body` takes.
    package static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start).seconds
    }

    /// The shortest of several timings after one that does not count: what a machine can do when nothing disturbs it.
    package static func best(_ repeats: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        var least = Double.infinity
        for _ in 0..<max(repeats, 1) { least = min(least, try seconds(body)) }
        return least
    }

    /// The median of several timings after one that does not count.
    package static func median(_ repeats: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        var times: [Double] = []
        for _ in 0..<max(repeats, 1) { times.append(try seconds(body)) }
        return times.sorted()[times.count / 2]
    }
}

/// One measured speed beside the limit that bounds it.
package struct BenchmarkResult: Sendable {
    /// What was measured, such as `4-bit matrix-vector 2048 x 5632`.
    package let name: String
    /// The speed.
    package let value: Double
    /// Its unit, such as `GB/s`.
    package let unit: String
    /// The limit in the same unit; nil where there is none.
    package let limit: Double?
    /// What the limit is, such as `read bandwidth`.
    package let limitName: String

    /// Makes a result.
    package init(
        _ name: String, _ value: Double, _ unit: String, limit: Double? = nil,
        limitName: String = ""
    ) {
        self.name = name
        self.value = value
        self.unit = unit
        self.limit = limit
        self.limitName = limitName
    }

    /// Speed divided by limit.
    package var ratio: Double? { limit.flatMap { $0 > 0 ? value / $0 : nil } }

    /// A row of a table: name, value, unit, ratio, limit.
    package var row: [String] {
        let ratio = ratio.map { "\(Int(($0 * 100).rounded())) %" } ?? "-"
        let limit = limit.map { "\(Self.short($0)) \(unit) \(limitName)" } ?? "-"
        return [name, Self.short(value), unit, ratio, limit]
    }

    /// The header of the table.
    package static let header = ["what", "speed", "unit", "of limit", "limit"]

    /// The result for machines.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["name"] = ConfigNode(name)
        object["value"] = ConfigNode(value)
        object["unit"] = ConfigNode(unit)
        if let limit { object["limit"] = ConfigNode(limit) }
        if let ratio { object["ratio"] = ConfigNode(ratio) }
        object["limit_name"] = ConfigNode(limitName)
        return ConfigNode(object)
    }

    static func short(_ value: Double) -> String {
        let scale = value >= 100 ? 1.0 : value >= 10 ? 10.0 : 100.0
        let rounded = (value * scale).rounded() / scale
        return scale == 1 ? "\(Int(rounded))" : "\(rounded)"
    }
}
