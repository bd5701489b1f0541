// SPDX-License-Identifier: Apache-2.0
// How weights lie in panels: the bits of codes, and packing from the public formats.
import CEftKernels
import Testing

struct MatmulPackingTests {
    private static let widths: [UInt32] = [2, 3, 4, 5, 6, 8]

    /// Where the bits of pair `p` lie, from the layout's description: (row, bit) of each bit of the even code.
    private static func places(_ bits: Int, _ p: Int) -> [(row: Int, bit: Int)] {
        switch (bits, p) {
        case (2, _): return (0..<2).map { (p / 8, 2 * (p % 8) + $0) }
        case (4, _): return (0..<4).map { (p / 4, 4 * (p % 4) + $0) }
        case (8, _): return (0..<8).map { (p / 2, 8 * (p % 2) + $0) }
        case (3, 15), (5, 15): return (0..<bits).map { ($0, 15) }
        case (3, _): return (0..<3).map { (p / 5, 3 * (p % 5) + $0) }
        case (5, _): return (0..<5).map { (p / 3, 5 * (p % 3) + $0) }
        default:
            let first = p / 8 * 3, q = p % 8
            if q < 6 { return (0..<6).map { (first + q / 2, 6 * (q % 2) + $0) } }
            if q == 6 {
                return (0..<4).map { (first, 12 + $0) } + [(first + 2, 12), (first + 2, 13)]
            }
            return (0..<4).map { (first + 1, 12 + $0) } + [(first + 2, 14), (first + 2, 15)]
        }
    }

    @Test(arguments: widths)
    func `codes stand where the layout says, and come back`(bits: UInt32) {
        var noise = Noise(Int(bits))
        let codes = (0..<512).map { _ in UInt8(noise.bits() % (1 << UInt64(bits))) }
        var rows = [UInt32](repeating: 0, count: Int(bits) * 16)
        eft_codes_pack(bits, codes, &rows)
        var expected = [UInt32](repeating: 0, count: rows.count)
        for p in 0..<16 {
            for (i, place) in Self.places(Int(bits), p).enumerated() {
                for lane in 0..<16 {
                    let even = UInt32(codes[2 * p * 16 + lane] >> i) & 1
                    let odd = UInt32(codes[(2 * p + 1) * 16 + lane] >> i) & 1
                    expected[place.row * 16 + lane] |= even << place.bit | odd << (place.bit + 16)
                }
            }
        }
        #expect(rows == expected)
        var back = [UInt8](repeating: 99, count: 512)
        eft_codes_unpack(bits, rows, &back)
        #expect(back == codes)
    }

    /// Words of one column with codes (5i + 3) mod 2^bits, from the format's description.
    @Test(
        arguments: zip(
            widths,
            [
                [0x9393_9393, 0x9393_9393], [0x43c6_7543, 0x7543_c675, 0xc675_43c6],
                [0x61c7_2d83, 0xe94f_a50b, 0x61c7_2d83, 0xe94f_a50b],
                [0x7979_3503, 0xfd56_0b30, 0x7713_7249, 0x1bb4_5871, 0xf668_f514],
                [
                    0x1748_d203, 0x5c2b_9a17, 0x3891_3feb, 0x2789_d613, 0x503b_db1b, 0x7995_0f28,
                ],
                [
                    0x120d_0803, 0x2621_1c17, 0x3a35_302b, 0x4e49_443f, 0x625d_5853, 0x7671_6c67,
                    0x8a85_807b, 0x9e99_948f,
                ],
            ] as [[UInt32]]))
    func `EXL2 words become the codes they hold`(bits: UInt32, words: [UInt32]) throws {
        // Two groups of one block; 20 outputs in 24 columns, of which only column 18 has the codes in group 1.
        var group = [
            eft_group(first_block: 0, blocks: 1, bits: 4, row_offset: 0),
            eft_group(first_block: 1, blocks: 1, bits: bits, row_offset: 4),
        ]
        var source = [UInt32](repeating: 0, count: (4 + words.count) * 24)
        for (i, word) in words.enumerated() { source[(4 + i) * 24 + 18] = word }
        var panels = [UInt32](repeating: 1, count: 2 * (4 + words.count) * 16)
        group.withUnsafeMutableBufferPointer { group in
            var w = eft_weight()
            w.kind = EFT_WEIGHT_CODED
            w.inputs = 64
            w.outputs = 20
            w.blocks = 2
            w.panel_bytes = (4 + words.count) * 64
            w.groups = UnsafePointer(group.baseAddress)
            w.group_count = 2
            let context = eft_context_create(EFT_ISA_SCALAR, 1)
            eft_exl2_pack(context, &w, &panels, source, 24, [0, 4])
            eft_context_destroy(context)
        }
        let second = Array(panels[((4 + words.count) + 4) * 16..<2 * (4 + words.count) * 16])
        var codes = [UInt8](repeating: 0, count: 512)
        eft_codes_unpack(bits, second, &codes)
        for i in 0..<32 {
            #expect(codes[i * 16 + 2] == UInt8((5 * i + 3) % (1 << Int(bits))))
            #expect(codes[i * 16 + 3] == 0)
        }
        #expect(panels[0..<64].allSatisfy { $0 == 0 })
    }

    @Test func `NF4 bytes become the codes they hold`() throws {
        let inputs = 160, outputs = 21
        var noise = Noise(4)
        let bytes = (0..<inputs * outputs / 2).map { _ in UInt8(truncatingIfNeeded: noise.bits()) }
        var groups = [
            eft_group(first_block: 0, blocks: 2, bits: 4, row_offset: 0),
            eft_group(first_block: 2, blocks: 2, bits: 4, row_offset: 8),
            eft_group(first_block: 4, blocks: 1, bits: 4, row_offset: 16),
        ]
        var panels = [UInt32](repeating: 1, count: 2 * 20 * 16)
        try groups.withUnsafeMutableBufferPointer { groups in
            var w = eft_weight()
            w.kind = EFT_WEIGHT_CODED
            w.code_book = EFT_CODES_NF4
            w.inputs = inputs
            w.outputs = outputs
            w.blocks = 5
            w.panel_bytes = 20 * 64
            w.groups = UnsafePointer(groups.baseAddress)
            w.group_count = 3
            try KernelLevel.scalar.run(threads: 2) { eft_nf4_pack($0, &w, &panels, bytes) }
        }
        for block in 0..<10 {
            var codes = [UInt8](repeating: 0, count: 512)
            eft_codes_unpack(4, Array(panels[block * 64..<(block + 1) * 64]), &codes)
            for k in 0..<32 {
                for lane in 0..<16 {
                    let n = block / 5 * 16 + lane
                    let element = n * inputs + block % 5 * 32 + k
                    let byte = n < outputs ? bytes[element / 2] : 0
                    #expect(codes[k * 16 + lane] == (k % 2 == 0 ? byte >> 4 : byte & 15))
                }
            }
        }
    }

    @Test(arguments: [EFT_WEIGHT_F32, EFT_WEIGHT_F16, EFT_WEIGHT_BF16])
    func `dense weights are packed in parts, with zeros around`(kind: eft_weight_kind) throws {
        let inputs = 40, outputs = 37
        var noise = Noise(7)
        let source = noise.numbers(inputs * outputs)
        var w = eft_weight()
        w.kind = kind
        w.inputs = inputs
        w.outputs = outputs
        w.blocks = 2
        let halves = kind != EFT_WEIGHT_F32
        w.panel_bytes = 64 * (halves ? 32 : 64)
        var panels = [UInt32](repeating: .max, count: 3 * w.panel_bytes / 4)
        try KernelLevel.scalar.run(threads: 2) { context in
            eft_dense_pack(context, &w, &panels, source, EFT_F32, 0, 16)
            let rest = Array(source[(16 * inputs)...])
            eft_dense_pack(context, &w, &panels, rest, EFT_F32, 16, outputs - 16)
        }
        for n in 0..<48 {
            for k in 0..<64 {
                let x = n < outputs && k < inputs ? source[n * inputs + k] : 0
                let row = n / 16 * w.panel_bytes / 64 + (halves ? k / 2 : k)
                let word = panels[row * 16 + n % 16]
                let half = UInt16(truncatingIfNeeded: k % 2 == 0 ? word : word >> 16)
                if kind == EFT_WEIGHT_F32 { #expect(word == x.bitPattern) }
                if kind == EFT_WEIGHT_F16 { #expect(half == Float16(x).bitPattern) }
                if kind == EFT_WEIGHT_BF16 { #expect(UInt32(half) << 16 == bf16(x).bitPattern) }
            }
        }
    }
}
