// SPDX-License-Identifier: Apache-2.0
// The scale groups of an EXL2 matrix, and the table that stores them.
import EftTensor

/// Consecutive stored rows of an EXL2 matrix that share a width in bits and, for each output, a scale.
package struct EXL2Group: Sendable, Hashable {
    /// Width of a code: 2, 3, 4, 5, 6 or 8.
    package let bits: Int
    /// Number of rows (inputs), a multiple of 32.
    package let rows: Int

    /// Widths that the format has.
    package static let widths = [2, 3, 4, 5, 6, 8]

    /// Makes a group.
    package init(bits: Int, rows: Int) {
        self.bits = bits
        self.rows = rows
    }

    /// Rows of 32-bit words that the codes take.
    package var packedRows: Int { rows / 32 * bits }
}

/// A table of groups that contradicts itself.
struct EXL2TableError: Error, Sendable {
    let message: String
}

/// The scale groups of a matrix, in stored order, with where each begins.
package struct EXL2Table: Sendable, Hashable {
    /// The groups; at least one.
    package let groups: [EXL2Group]
    /// The first stored row of each group, then K.
    package let firstRows: [Int]
    /// The first packed row of each group, then the number of packed rows.
    package let firstPackedRows: [Int]

    /// Sums up groups that the program made.
    package init(_ groups: [EXL2Group]) {
        precondition(!groups.isEmpty, "no groups")
        precondition(
            groups.allSatisfy {
                EXL2Group.widths.contains($0.bits) && $0.rows > 0 && $0.rows % 32 == 0
            }, "a group of another width or of a part of a block")
        self.groups = groups
        var rows = [0]
        var packed = [0]
        for group in groups {
            rows.append((rows.last ?? 0) + group.rows)
            packed.append((packed.last ?? 0) + group.packedRows)
        }
        firstRows = rows
        firstPackedRows = packed
    }

    /// Reads the tensor `q_groups`: pairs of width and first packed row.
    /// - Parameters:
    ///   - values: the numbers of the tensor.
    ///   - packedRows: rows of `q_weight`.
    ///   - inputs: K that must come out.
    /// - Throws: `EXL2TableError` for anything that cannot be.
    init(_ values: [UInt16], packedRows: Int, inputs: Int) throws(EXL2TableError) {
        guard !values.isEmpty, values.count % 2 == 0 else {
            throw EXL2TableError(message: "\(values.count) numbers are no list of pairs")
        }
        var groups: [EXL2Group] = []
        var total = 0
        for index in 0..<values.count / 2 {
            let bits = Int(values[2 * index])
            let start = Int(values[2 * index + 1])
            let end = 2 * index + 3 < values.count ? Int(values[2 * index + 3]) : packedRows
            guard EXL2Group.widths.contains(bits) else {
                throw EXL2TableError(message: "group \(index) has codes of \(bits) bits")
            }
            guard index > 0 || start == 0 else {
                throw EXL2TableError(message: "the first group begins at row \(start)")
            }
            guard end > start, (end - start) % bits == 0 else {
                throw EXL2TableError(
                    message: "group \(index) of \(bits) bits cannot reach from packed row \(start) "
                        + "to \(end)")
            }
            groups.append(EXL2Group(bits: bits, rows: (end - start) / bits * 32))
            total += (end - start) / bits * 32
        }
        guard total == inputs else {
            throw EXL2TableError(
                message: "the groups hold \(total) inputs where \(inputs) are expected")
        }
        self.init(groups)
    }

    /// K.
    package var inputs: Int { firstRows[groups.count] }
    /// Rows of `q_weight`.
    package var packedRows: Int { firstPackedRows[groups.count] }

    /// Rows of the largest group.
    package var largestGroup: Int { groups.map(\.rows).max() ?? 0 }

    /// The tensor `q_groups`, or nil when a start does not fit its 16 bits.
    package var encoded: [UInt16]? {
        var values: [UInt16] = []
        for (index, group) in groups.enumerated() {
            guard let start = UInt16(exactly: firstPackedRows[index]) else { return nil }
            values += [UInt16(group.bits), start]
        }
        return values
    }

    /// How the matrix is held in memory.
    package func layout(outputs: Int) -> WeightLayout {
        WeightLayout(
            .coded(
                book: .signed, scales: .exl2,
                groups: groups.map { .init(blocks: $0.rows / 32, bits: $0.bits) }, permuted: true),
            inputs: inputs, outputs: outputs)
    }
}
