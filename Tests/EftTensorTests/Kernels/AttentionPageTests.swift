// SPDX-License-Identifier: Apache-2.0
// Keys and values into pages and back.
import CEftKernels
import Testing

struct AttentionPageTests {
    @Test(
        arguments: KernelLevel.all, [(0, 1), (0, 16), (0, 50), (5, 3), (15, 2), (16, 16), (37, 44)])
    func `what is written is read, other slots stay`(
        level: KernelLevel, place: (first: Int, rows: Int)
    ) throws {
        let shape = AttentionShape(heads: 2, kvHeads: 2, dim: 19)
        let columns = 38, ld = 41, pageCount = 6
        var noise = Noise(place.first)
        let k = noise.numbers(place.rows * ld), v = noise.numbers(place.rows * ld)
        for type in [EFT_F32, EFT_F16, EFT_BF16] {
            var attention = shape.parameters(type)
            let pages = Pages(pageCount, bytes: eft_kv_page_bytes(&attention))
            defer { withExtendedLifetime(pages) {} }
            var before = [Float](repeating: 1, count: 96 * columns), after = before
            var readK = [Float](repeating: 9, count: k.count), readV = readK
            try level.run(threads: 2) {
                eft_kv_write($0, &attention, place.rows, place.first, k, ld, v, ld, pages.addresses)
                eft_kv_read(
                    $0, &attention, place.rows, place.first, pages.addresses, &readK, ld, &readV, ld
                )
                eft_kv_read(
                    $0, &attention, 96, 0, pages.addresses, &before, columns, &after, columns)
            }
            let slack: Double = type == EFT_F32 ? 0 : type == EFT_F16 ? 0x1p-11 : 0x1p-8
            for i in k.indices {
                let inside = i % ld < columns
                #expect(inside ? abs(Double(readK[i] - k[i])) <= slack : readK[i] == 9)
                #expect(inside ? abs(Double(readV[i] - v[i])) <= slack : readV[i] == 9)
            }
            for t in 0..<96 where t < place.first || t >= place.first + place.rows {
                #expect(before[t * columns..<(t + 1) * columns].allSatisfy { $0.isNaN })
                #expect(after[t * columns..<(t + 1) * columns].allSatisfy { $0.isNaN })
            }
        }
    }

    @Test(arguments: KernelLevel.all, [EFT_F32.rawValue, EFT_F16.rawValue, EFT_BF16.rawValue])
    func `pages have the layout that is declared`(level: KernelLevel, type: UInt32) throws {
        let shape = AttentionShape(heads: 2, kvHeads: 2, dim: 24),
            type = eft_float_type(rawValue: type)
        var attention = shape.parameters(type)
        #expect(eft_kv_page_bytes(&attention) == 2 * 2 * 24 * 16 * (type == EFT_F32 ? 4 : 2))
        // Small integers are exact in every type.
        let k = (0..<16 * 48).map { Float($0 % 251) }, v = (0..<16 * 48).map { Float($0 % 241) }
        let page = Pages(1, bytes: eft_kv_page_bytes(&attention))
        defer { withExtendedLifetime(page) {} }
        var numbers = [Float](repeating: 0, count: 2 * 48 * 16)
        try level.run {
            eft_kv_write($0, &attention, 16, 0, k, 48, v, 48, page.addresses)
            eft_convert($0, numbers.count, page.addresses[0], type, &numbers, EFT_F32)
        }
        for slot in 0..<16 {
            for c in 0..<48 {
                #expect(numbers[c * 16 + slot] == k[slot * 48 + c])
                #expect(numbers[48 * 16 + (c / 24 * 16 + slot) * 24 + c % 24] == v[slot * 48 + c])
            }
        }
    }
}
