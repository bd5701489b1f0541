// SPDX-License-Identifier: Apache-2.0
// Passes over a row of logits: the scalar ones against plain Swift, the others against the scalar ones, bit for bit.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct SamplingTests {
    private static let sizes = [
        1, 2, 15, 16, 17, 31, 33, 511, 512, 513, 1000, 1535, 4099, 40_000,
    ]

    /// Rows of different kinds: spread, with few different values, masked here and there, rising, falling, all equal.
    private static func rows(_ count: Int) -> [[Float]] {
        var noise = Noise(count)
        let spread = noise.numbers(count, scale: 30)
        let masked = spread.map { noise.bits() % 3 == 0 ? -.infinity : $0 }
        return [
            spread, spread.map { ($0 / 10).rounded() }, masked, spread.sorted(),
            spread.sorted(by: >), [Float](repeating: 2, count: count),
            [Float](repeating: -.infinity, count: count),
        ]
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `the maximum is the first of the largest`(level: KernelLevel, count: Int) {
        for row in Self.rows(count) {
            let found = eft_row_max(level.isa, count, row)
            let wanted = row.max() ?? 0
            #expect(found.value == wanted && !found.has_nan)
            #expect(Int(found.index) == row.firstIndex(of: wanted))
        }
        var zeros: [Float] = (0..<count).map { $0 % 2 == 0 ? -0.0 : 0.0 }
        #expect(eft_row_max(level.isa, count, zeros).index == 0)
        for place in [0, count / 2, count - 1] {
            zeros[place] = .nan
            let found = eft_row_max(level.isa, count, zeros)
            #expect(found.has_nan && (found.value == 0 || count == 1))
            #expect(count == 1 || found.index == (place == 0 ? 1 : 0))
            zeros[place] = 0
        }
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `a mask rules out what has no bit`(level: KernelLevel, count: Int) {
        var noise = Noise(count + 1)
        let row = noise.numbers(count + 5)
        for words in [0, 1, count / 64, (count + 31) / 32, count / 32 + 3] {
            var bits = (0..<words).map { _ in UInt32(truncatingIfNeeded: noise.bits()) }
            if words > 1 { bits[1] = .max }
            var found = row
            eft_row_mask(level.isa, count, &found, words, bits)
            let wanted = row.indices.map { i in
                i >= count || (i / 32 < words && bits[i / 32] >> UInt32(i % 32) & 1 == 1)
                    ? row[i] : -.infinity
            }
            #expect(sameBits(found, wanted))
        }
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `weights and sums are the scalar ones and near the formula`(
        level: KernelLevel, count: Int
    ) {
        for row in Self.rows(count) {
            guard let top = row.max(), top > -.infinity else { continue }
            for scale: Float in [1, 0.5, 100] {
                var found = [Float](repeating: 9, count: count), scalar = found
                eft_row_weights(level.isa, count, row, top, scale, &found)
                eft_row_weights(EFT_ISA_SCALAR, count, row, top, scale, &scalar)
                #expect(sameBits(found, scalar))
                let exact = row.map { exp(Double(($0 - top) * scale)) }
                #expect(distance(found, exact, floor: 1e-30) < 4e-7)

                let blocks = (count + Int(EFT_ROW_BLOCK) - 1) / Int(EFT_ROW_BLOCK)
                var sums = [Double](repeating: 0, count: blocks), scalarSums = sums
                let total = eft_row_sums(level.isa, count, row, top, scale, &sums)
                #expect(
                    total == eft_row_sums(EFT_ISA_SCALAR, count, row, top, scale, &scalarSums))
                #expect(sums == scalarSums)
                #expect(abs(total - exact.reduce(0, +)) < 1e-6 * total)
            }
        }
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `masses are the scalar ones and near the sum`(level: KernelLevel, count: Int) {
        var noise = Noise(count + 2)
        let weights = noise.numbers(count).map(abs)
        for row in Self.rows(count) {
            for floor in [-Float.infinity, row[count / 2], 0, 2, 50] {
                let found = eft_row_mass(level.isa, count, row, weights, floor)
                #expect(found == eft_row_mass(EFT_ISA_SCALAR, count, row, weights, floor))
                let wanted = row.indices.reduce(0.0) {
                    $0 + (row[$1] >= floor ? Double(weights[$1]) : 0)
                }
                #expect(abs(found - wanted) <= 1e-12 * wanted)
            }
        }
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `counting and collecting find what is not less`(level: KernelLevel, count: Int) {
        for row in Self.rows(count) {
            for floor in [-Float.infinity, -40, row[count / 2], 0, 2, row[count / 2].nextUp, 50] {
                let wanted = row.indices.filter { row[$0] >= floor }
                #expect(eft_row_count(level.isa, count, row, floor) == wanted.count)
                for capacity in [0, 1, wanted.count / 2, wanted.count, count] {
                    var indices = [UInt32](repeating: .max, count: capacity + 1)
                    var values = [Float](repeating: .nan, count: capacity + 1)
                    let found = eft_row_collect(
                        level.isa, count, row, floor, capacity, &indices, &values)
                    let first = wanted.prefix(capacity)
                    #expect(found == first.count)
                    #expect(indices.prefix(found).elementsEqual(first.map(UInt32.init)))
                    #expect(values.prefix(found).elementsEqual(first.map { row[$0] }))
                    #expect(indices[found...].allSatisfy { $0 == .max })
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all, sizes)
    func `the k-th largest is the one of the sorted row`(level: KernelLevel, count: Int) {
        for row in Self.rows(count) {
            let sorted = row.sorted(by: >)
            for k in Set([1, 2, 40, 1024, 1025, count / 2, count - 1, count])
            where k >= 1 && k <= count {
                let size = eft_row_kth_scratch(count, k)
                var scratch = [Float](repeating: 7, count: size + 1)
                #expect(eft_row_kth(level.isa, count, row, k, &scratch) == sorted[k - 1])
                #expect(scratch[size] == 7)
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `the k-th largest is right for many small rows`(level: KernelLevel) {
        var noise = Noise(5)
        for _ in 0..<3000 {
            let count = Int(noise.bits() % 40) + 1
            let row = (0..<count).map { _ in Float(noise.bits() % 6) }
            let k = Int(noise.bits() % UInt64(count)) + 1
            var scratch = [Float](repeating: 0, count: eft_row_kth_scratch(count, k))
            #expect(
                eft_row_kth(level.isa, count, row, k, &scratch) == row.sorted(by: >)[k - 1])
        }
    }
}
