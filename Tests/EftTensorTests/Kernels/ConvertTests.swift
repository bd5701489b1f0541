// SPDX-License-Identifier: Apache-2.0
// Conversions between number types, and the search for infinities.
import CEftKernels
import Testing

struct ConvertTests {
    private static let specials: [Float] = [
        0, -0.0, 1, -1, .infinity, -.infinity, .nan, 65504, 65519.996, 65520, -65520, 0x1p-14,
        0x1p-24,
        0x1p-25, 0x1.8p-25, 0x1.002p-14, 3.4e38, -3.4e38, 0x1p-149, 1.00390625, 1.01171875,
        0x1.fffp-15,
    ]

    /// Specials, and numbers of all magnitudes.
    private static func numbers(_ count: Int) -> [Float] {
        var noise = Noise(count)
        return (0..<count).map { i in
            if i % 3 == 0 { return specials[i / 3 % specials.count] }
            let bits = UInt32(truncatingIfNeeded: noise.bits())
            if i % 3 == 1 { return Float(bitPattern: bits) }
            return Float(bitPattern: bits & 0x83ff_ffff | UInt32(0x3400_0000 + i % 24 * 0x80_0000))
        }
    }

    private static func narrow(_ x: [Float], _ type: eft_float_type, _ level: KernelLevel) throws
        -> [UInt16]
    {
        var result = [UInt16](repeating: 0xdead, count: x.count)
        try level.run { eft_convert($0, x.count, x, EFT_F32, &result, type) }
        return result
    }

    private static func widen(_ x: [UInt16], _ type: eft_float_type, _ level: KernelLevel) throws
        -> [Float]
    {
        var result = [Float](repeating: 7, count: x.count)
        try level.run { eft_convert($0, x.count, x, type, &result, EFT_F32) }
        return result
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `f32 to bf16 takes the nearest, ties to even`(level: KernelLevel, count: Int) throws {
        let x = Self.numbers(count)
        for (number, found) in zip(x, try Self.narrow(x, EFT_BF16, level)) {
            let value = Float(bitPattern: UInt32(found) << 16)
            if number.isNaN {
                #expect(value.isNaN)
                continue
            }
            let low = number.bitPattern & 0xffff_0000
            let below = Double(abs(Float(bitPattern: low)))
            let next = Float(bitPattern: low &+ 0x1_0000)
            // Beyond the largest number rounding goes on as if the exponent did.
            let above = next.isFinite ? Double(abs(next)) : 0x1p128
            let magnitude = Double(abs(number))
            let up =
                magnitude - below > above - magnitude
                || (magnitude - below == above - magnitude && low & 0x1_0000 != 0)
            #expect(found == UInt16(low >> 16) + (number.isFinite && up ? 1 : 0))
        }
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `f32 to f16 takes the nearest, ties to even`(level: KernelLevel, count: Int) throws {
        let x = Self.numbers(count)
        for (number, found) in zip(x, try Self.narrow(x, EFT_F16, level)) {
            let wanted = Float16(number)
            #expect(wanted.isNaN ? Float16(bitPattern: found).isNaN : wanted.bitPattern == found)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `every half goes to f32 and back`(level: KernelLevel) throws {
        let halves = (0...UInt16.max).map { $0 }
        for type in [EFT_F16, EFT_BF16] {
            let wide = try Self.widen(halves, type, level)
            let back = try Self.narrow(wide, type, level)
            #expect(sameBits(wide, try Self.widen(halves, type, .scalar)))
            for (half, (number, again)) in zip(halves, zip(wide, back)) {
                let wanted =
                    type == EFT_F16
                    ? Float(Float16(bitPattern: half)) : Float(bitPattern: UInt32(half) << 16)
                guard wanted.isNaN ? number.isNaN : (number == wanted && again == half) else {
                    Issue.record("half \(half) became \(number), then \(again)")
                    break
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `levels agree on every pair of types`(level: KernelLevel, count: Int) throws {
        let x = Self.numbers(count)
        for type in [EFT_F16, EFT_BF16] {
            let narrow = try Self.narrow(x, type, level)
            #expect(try narrow == Self.narrow(x, type, .scalar))
            let other = type == EFT_F16 ? EFT_BF16 : EFT_F16
            var found = [UInt16](repeating: 0, count: count), wanted = found
            try level.run { eft_convert($0, count, narrow, type, &found, other) }
            try KernelLevel.scalar.run { eft_convert($0, count, narrow, type, &wanted, other) }
            #expect(found == wanted)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `a long array is converted whole by several threads`(level: KernelLevel) throws {
        let x = Self.numbers(50_001)
        var found = [UInt16](repeating: 0, count: x.count)
        try level.run(threads: 3) { eft_convert($0, x.count, x, EFT_F32, &found, EFT_F16) }
        #expect(try found == Self.narrow(x, EFT_F16, .scalar))
    }

    @Test(arguments: KernelLevel.all, [1, 15, 16, 17, 33, 100, 40_000])
    func `one number that is not finite is found anywhere`(level: KernelLevel, count: Int) throws {
        try level.run(threads: 2) { context in
            for bad in [Float.infinity, -.infinity, .nan, -.nan] {
                for place in Set([0, count / 2, count - 1]) {
                    var x = [Float](repeating: 6e4, count: count)
                    #expect(eft_all_finite(context, count, x, EFT_F32))
                    x[place] = bad
                    #expect(!eft_all_finite(context, count, x, EFT_F32))
                    for type in [EFT_F16, EFT_BF16] {
                        var halves = try Self.narrow(x, type, .scalar)
                        #expect(!eft_all_finite(context, count, halves, type))
                        halves[place] = 0
                        #expect(eft_all_finite(context, count, halves, type))
                    }
                }
            }
        }
    }
}
