// SPDX-License-Identifier: Apache-2.0
// A packed weight as one run of bytes, as it is kept in a file and read into a window.
import CEftKernels

/// Where the parts of a weight lie in its record: panels, scales, tables, each at a multiple of 64 bytes.
package struct WeightRecord: Sendable, Hashable {
    /// Alignment of the parts, and of the record's size.
    package static let alignment = 64

    /// All panels.
    package let panels: Range<Int>
    /// All scales; empty for dense weights.
    package let scales: Range<Int>
    /// The group table and the permutation; empty for dense weights.
    package let tables: Range<Int>

    /// The places of a weight of a layout.
    package init(_ layout: WeightLayout) {
        func place(_ start: Int, _ count: Int) -> Range<Int> {
            let first = roundUp(start, to: WeightRecord.alignment)
            return first..<first + count
        }
        panels = place(0, layout.panels * layout.panelBytes)
        scales = place(panels.upperBound, layout.scaleBytes)
        tables = place(scales.upperBound, layout.tableBytes)
    }

    /// Bytes of the record, a multiple of 64.
    package var byteCount: Int { roundUp(tables.upperBound, to: WeightRecord.alignment) }
}

extension PackedWeight {
    /// The parts of a weight that owns its memory, in the order of its record; gaps hold zeros.
    package var recordParts: [(place: Range<Int>, bytes: UnsafeRawBufferPointer)] {
        precondition(!isStreamed, "a streamed weight owns no memory")
        let record = WeightRecord(layout)
        return [(record.panels, panels), (record.scales, scales), (record.tables, tables)].map {
            ($0, UnsafeRawBufferPointer($1.bytes))
        }
    }
}

extension WeightLayout {
    /// Whether the tables of a record are those of this layout, so that kernels that follow them stay in bounds.
    package func hasSoundTables(_ record: UnsafeRawBufferPointer) -> Bool {
        guard case .coded(_, _, let groups, let permuted) = format else { return true }
        let places = WeightRecord(self)
        precondition(record.count >= places.byteCount, "a record of another weight")
        let tables = UnsafeRawBufferPointer(rebasing: record[places.tables])
        let same = kernelGroups.withUnsafeBytes { expected in
            tables.prefix(expected.count).elementsEqual(expected)
        }
        guard same, permuted else { return same }
        let first = groups.count * MemoryLayout<eft_group>.stride
        return (0..<blocks * 32).allSatisfy { row in
            let input = tables.loadUnaligned(fromByteOffset: first + row * 4, as: UInt32.self)
            return row < inputs ? input < UInt32(inputs) : input == .max
        }
    }
}
