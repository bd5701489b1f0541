// SPDX-License-Identifier: Apache-2.0
// The record of a weight, and the tables that kernels follow.
import EftTensor
import Testing

@Suite struct WeightRecordTests {
    private let layout = WeightLayout(
        .coded(
            book: .signed, scales: .f16,
            groups: [.init(blocks: 1, bits: 5), .init(blocks: 2, bits: 3)], permuted: true),
        inputs: 96, outputs: 50)

    private func record(_ weight: PackedWeight) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: WeightRecord(weight.layout).byteCount)
        for part in weight.recordParts {
            bytes.replaceSubrange(part.place, with: part.bytes)
        }
        return bytes
    }

    @Test func `parts follow each other at multiples of 64 bytes`() throws {
        let dense = WeightRecord(WeightLayout(.bf16, inputs: 40, outputs: 20))
        #expect(dense.panels == 0..<2 * 2048)
        #expect(dense.scales.isEmpty && dense.tables.isEmpty)
        #expect(dense.byteCount == dense.panels.upperBound)
        let coded = WeightRecord(layout)
        for part in [coded.panels, coded.scales, coded.tables] {
            #expect(part.lowerBound % 64 == 0)
        }
        #expect(coded.panels.count + coded.scales.count + coded.tables.count == layout.byteCount)
        #expect(coded.byteCount % 64 == 0)
    }

    @Test func `changed tables are found`() throws {
        let weight = try PackedWeight(
            layout: layout, permutation: (0..<96).map { UInt32(95 - $0) }, ledger: nil)
        var bytes = record(weight)
        func isSound() -> Bool { bytes.withUnsafeBytes { layout.hasSoundTables($0) } }
        #expect(isSound())
        let tables = WeightRecord(layout).tables
        for offset in [0, 8, 31] {
            bytes[tables.lowerBound + offset] ^= 1
            #expect(!isSound(), "byte \(offset)")
            bytes[tables.lowerBound + offset] ^= 1
        }
        // An input beyond the last.
        bytes[tables.lowerBound + 2 * 16 + 4] = 96
        #expect(!isSound())
        bytes[tables.lowerBound + 2 * 16 + 4] = 95
        #expect(isSound())
    }
}
