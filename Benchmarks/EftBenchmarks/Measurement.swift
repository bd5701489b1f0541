// SPDX-License-Identifier: Apache-2.0
// A measured speed beside its limit, for people and for machines.
import EftConfig

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
