// SPDX-License-Identifier: Apache-2.0
// How the rows of a matrix divide in EXL2 groups, and what that takes on disk.
import EftTensor

/// A section of an EXL2 matrix to be made: its width, its share of the rows and its group size.
package struct EXL2Section: Sendable, Hashable {
    /// Width of a code.
    package let bits: Int
    /// Rows of a group, a multiple of 32.
    package let groupSize: Int
    /// Share of the rows; the shares of a matrix add up to 1.
    package let proportion: Double

    /// Describes a section.
    package init(bits: Int, groupSize: Int, proportion: Double) {
        self.bits = bits
        self.groupSize = groupSize
        self.proportion = proportion
    }
}

/// Sizes of EXL2 matrices.
package enum EXL2Geometry {
    /// Columns of `q_weight`: N rounded up to 32.
    package static func paddedOutputs(_ outputs: Int) -> Int { roundUp(outputs, to: 32) }

    /// The groups of a matrix, widest codes first, or nil when the sections do not cover all rows.
    /// - Parameter inputs: K, a multiple of 32.
    package static func groups(inputs: Int, sections: [EXL2Section]) -> [EXL2Group]? {
        precondition(
            sections.allSatisfy { $0.groupSize > 0 && $0.groupSize % 32 == 0 }, "group sizes")
        var groups: [EXL2Group] = []
        var remaining = inputs
        for section in sections where remaining > 0 {
            // The same operations in f64 as the format's converter, whose rounding decides.
            let share = min(Double(inputs) * section.proportion, Double(remaining))
            let count = Int((share / Double(section.groupSize)).rounded(.up))
            for _ in 0..<count where remaining > 0 {
                let rows = min(section.groupSize, remaining)
                groups.append(EXL2Group(bits: section.bits, rows: rows))
                remaining -= rows
            }
        }
        return remaining > 0 ? nil : groups
    }

    /// A share of the inputs that `groups` turns into just so many rows, whatever the rounding.
    /// - Parameter rows: a multiple of the group size.
    package static func share(rows: Int, inputs: Int, groupSize: Int) -> Double {
        let exact = Double(rows) / Double(inputs)
        let count = (Double(inputs) * exact / Double(groupSize)).rounded(.up)
        return count == Double(rows / groupSize)
            ? exact : (Double(rows) - Double(groupSize) / 2) / Double(inputs)
    }

    /// The groups of a matrix by parallel lists; `groupSizes` has an entry for each width.
    package static func groups(
        inputs: Int, bits: [Int], groupSizes: [Int], proportions: [Double]
    ) -> [EXL2Group]? {
        precondition(bits.count == groupSizes.count && bits.count == proportions.count, "lists")
        let sections = zip(bits, zip(groupSizes, proportions)).map {
            EXL2Section(bits: $0, groupSize: $1.0, proportion: $1.1)
        }
        return groups(inputs: inputs, sections: sections)
    }

    /// Widths that a head can have.
    package static let headWidths = [2, 3, 4, 5, 6, 8]

    /// The sections of a head of `bits` bits, or nil when there is no such head.
    package static func head(bits: Int) -> [EXL2Section]? {
        func pair(_ high: Int, _ low: Int, _ size: Int, _ share: Double) -> [EXL2Section] {
            [
                EXL2Section(bits: high, groupSize: size, proportion: share),
                EXL2Section(bits: low, groupSize: size, proportion: share == 0.3 ? 0.7 : 0.85),
            ]
        }
        switch bits {
        case 2: return pair(4, 2, 32, 0.3)
        case 3: return pair(4, 3, 32, 0.15)
        case 4: return pair(6, 4, 32, 0.15)
        case 5: return pair(6, 5, 128, 0.15)
        case 6: return pair(8, 6, 128, 0.15)
        case 8: return [EXL2Section(bits: 8, groupSize: 128, proportion: 1)]
        default: return nil
        }
    }

    /// Bits of a matrix as the format's converter counts them: codes, scales, groups, permutation and bias.
    package static func storedBits(
        groups: [EXL2Group], inputs: Int, outputs: Int, bias: Bool
    ) -> Int {
        let codes = groups.reduce(0) { $0 + $1.rows * $1.bits } * outputs
        return codes + groups.count * (16 + 32 + outputs * 4) + inputs * 32
            + (bias ? outputs * 16 : 0)
    }
}
