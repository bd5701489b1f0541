// SPDX-License-Identifier: Apache-2.0
// NF4 and 8-bit block-wise codes against what bitsandbytes gives.
import CEftKernels
import Testing

struct QuantizeTests {
    private static func nf4(
        _ x: [Float], block: Int = 64, level: KernelLevel, threads: Int = 1
    ) throws -> (packed: [UInt8], absmax: [Float]) {
        var packed = [UInt8](repeating: 0xaa, count: (x.count + 1) / 2)
        var absmax = [Float](repeating: -1, count: (x.count + block - 1) / block)
        try level.run(threads: threads) {
            eft_nf4_quantize($0, x.count, block, x, &packed, &absmax)
        }
        return (packed, absmax)
    }

    /// NF4 as defined, one number at a time.
    private static func definition(_ x: [Float], block: Int) -> [UInt8] {
        let points = withUnsafeBytes(of: eft_nf4_midpoints) { Array($0.bindMemory(to: Float.self)) }
        var codes = x.indices.map { i in
            let from = i / block * block
            let largest = x[from..<min(from + block, x.count)].reduce(0) { max($0, abs($1)) }
            let scaled = x[i] * (1 / largest)
            return UInt8(points.count { scaled > $0 })
        }
        if codes.count % 2 == 1 {
            let last = x.count / block * block
            codes.append(x[min(last, x.count - 1)...].allSatisfy { $0 == 0 } ? 0 : 7)
        }
        return stride(from: 0, to: codes.count, by: 2).map { codes[$0] << 4 | codes[$0 + 1] }
    }

    /// Expected bytes: bitsandbytes 0.49.1 and its definition.
    @Test(arguments: KernelLevel.all)
    func `codes of known numbers`(level: KernelLevel) throws {
        let x: [Float] = [
            0.018825296312570572, -0.0671333596110344, 0.14393498003482819, 0.03701702877879143,
            0.025401949882507324, -0.10910677164793015, 0.049316562712192535, 0.03983650729060173,
            0.007183229085057974, 0.06076108291745186, 0.017257623374462128, -0.014318490400910378,
            -0.07332728058099747, 0.07195334881544113, 0.05002442002296448, -0.0889425203204155,
            0.06238286569714546, -0.04878079146146774, -0.04565804824233055, 0.003802413586527109,
            0.0726054236292839,
        ]
        let result = try Self.nf4(x, level: level)
        #expect(result.packed == [146, 250, 145, 186, 140, 134, 44, 177, 196, 71, 215])
        #expect(result.absmax == [0.14393498003482819])
    }

    @Test(arguments: KernelLevel.all)
    func `a number on a decision point takes the lower code`(level: KernelLevel) throws {
        let points = withUnsafeBytes(of: eft_nf4_midpoints) { Array($0.bindMemory(to: Float.self)) }
        let bits: [UInt32] = [
            0xbf59_1cd8, 0xbf1c_5270, 0xbeeb_8480, 0xbead_ea76, 0xbe70_3cec, 0xbe0d_38bc,
            0xbd3a_7871,
            0x3d22_faff, 0x3df6_4862, 0x3e50_67e0, 0x3e95_82d4, 0x3ec7_53f9, 0x3f00_6d04,
            0x3f24_8daf,
            0x3f5c_89da,
        ]
        #expect(points.map(\.bitPattern) == bits)
        let above = points.map(\.nextUp)
        let result = try Self.nf4(points + above + [1, 1], level: level)
        let codes = result.packed.flatMap { [$0 >> 4, $0 & 15] }
        #expect(codes == Array(0...14) + Array(1...15) + [15, 15])
    }

    @Test(arguments: KernelLevel.all, [1, 2, 15, 16, 17, 63, 64, 65, 1000, 20_001])
    func `codes and values of any count`(level: KernelLevel, count: Int) throws {
        var noise = Noise(count)
        let x = noise.numbers(count, scale: 0.1)
        for block in [64, 32, 128, 40, 33] {
            let result = try Self.nf4(x, block: block, level: level, threads: 2)
            #expect(result.packed == Self.definition(x, block: block))
            var back = [Float](repeating: 9, count: count)
            try level.run(threads: 2) {
                eft_nf4_dequantize($0, count, block, result.packed, result.absmax, &back)
            }
            let values = withUnsafeBytes(of: eft_nf4_values) {
                Array($0.bindMemory(to: Float.self))
            }
            let wanted = (0..<count).map { i in
                let byte = result.packed[i / 2]
                return values[Int(i % 2 == 0 ? byte >> 4 : byte & 15)] * result.absmax[i / block]
            }
            #expect(sameBits(back, wanted))
            // No number is further off than half the widest gap.
            for i in 0..<count { #expect(abs(back[i] - x[i]) <= 0.1520 * result.absmax[i / block]) }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `zeros, infinities and NaN`(level: KernelLevel) throws {
        var x = [Float](repeating: 0, count: 64 * 4 + 3)
        for i in 64..<128 { x[i] = Float(i) }
        x[130] = .nan
        x[131] = 1
        x[200] = .infinity
        let result = try Self.nf4(x, level: level)
        #expect(result.packed[0..<32].allSatisfy { $0 == 0 })
        #expect(result.absmax[0] == 0 && result.absmax[1] == 127 && result.absmax[3] == .infinity)
        #expect(result.absmax[2].isNaN)
        #expect(result.packed[64..<96].allSatisfy { $0 == 0 })
        #expect(result.packed[128...].allSatisfy { $0 == 0 } && result.absmax[4] == 0)
    }

    @Test
    func `the dynamic maps are bitsandbytes' bit for bit`() {
        func checksum(_ map: [Float]) -> UInt64 {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for number in map {
                for shift in stride(from: 0, to: 32, by: 8) {
                    hash = (hash ^ UInt64(number.bitPattern >> shift & 255)) &* 0x100_0000_01b3
                }
            }
            return hash
        }
        var map = [Float](repeating: 0, count: 256)
        eft_dynamic_map(true, &map)
        #expect(checksum(map) == 0xd677_f22a_9666_5bc4)
        #expect(map[127] == 0 && map[255] == 1)
        eft_dynamic_map(false, &map)
        #expect(checksum(map) == 0x4381_1b16_730a_873e)
        #expect(map[0] == 0 && map == map.sorted())
    }

    @Test(arguments: KernelLevel.all, [1, 7, 8, 9, 255, 256, 257, 20_000])
    func `8-bit codes are the nearest entries, ties downwards`(level: KernelLevel, count: Int)
        throws
    {
        var map = [Float](repeating: 0, count: 256), noise = Noise(count)
        eft_dynamic_map(true, &map)
        var x = noise.numbers(count, scale: 2)
        // Exact midpoints of a block whose largest number is 1.
        for i in 0..<min(count, 255) { x[i] = i == 254 ? 1 : (map[i] + map[i + 1]) / 2 }
        if count > 255 { x[255] = -1 }
        var codes = [UInt8](repeating: 9, count: count)
        var absmax = [Float](repeating: -1, count: (count + 255) / 256)
        try level.run(threads: 2) {
            eft_blockwise8_quantize($0, count, 256, map, x, &codes, &absmax)
        }
        for i in 0..<count {
            let block = x[i / 256 * 256..<min(i / 256 * 256 + 256, count)]
            let largest = block.reduce(0) { max($0, abs($1)) }
            #expect(absmax[i / 256] == largest)
            let scaled = x[i] * (1 / largest)
            let nearest = map.indices.min {
                abs(Double(map[$0]) - Double(scaled)) < abs(Double(map[$1]) - Double(scaled))
            }
            guard let nearest else { continue }
            let gap =
                abs(Double(map[Int(codes[i])]) - Double(scaled))
                - abs(Double(map[nearest]) - Double(scaled))
            #expect(gap <= 0x1p-24)  // the midpoint itself is rounded
            if count > 255 && i < 254 { #expect(Int(codes[i]) == i) }
        }
        let zeros = [Float](repeating: 0, count: 300)
        var zeroCodes = [UInt8](repeating: 9, count: 300)
        try level.run { eft_blockwise8_quantize($0, 300, 256, map, zeros, &zeroCodes, &absmax) }
        #expect(zeroCodes.allSatisfy { $0 == 0 })
    }
}
