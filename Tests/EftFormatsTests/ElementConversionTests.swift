// SPDX-License-Identifier: Apache-2.0
// Conversion of real numbers, against the compiler's own half and against exhaustive definitions.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct ElementConversionTests {
    /// Patterns around every edge, and random ones.
    private static let patterns: [UInt32] = {
        var random = SplitMix64(seed: 3)
        var patterns: [UInt32] = (0..<200_000).map { _ in
            UInt32(truncatingIfNeeded: random.next())
        }
        // Half's range of exponents more densely, with ties.
        for exponent in UInt32(100)...145 {
            for tail: UInt32 in [0, 1, 0xFFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x3000, 0x7F_FFFF] {
                patterns += [exponent << 23 | tail, 1 << 31 | exponent << 23 | tail]
            }
        }
        return patterns + [0, 1 << 31, 0x7F80_0000, 0xFF80_0000, 0x7F80_0001, 0x7FFF_FFFF, 1]
    }()

    @Test func `every half widens to its value and narrows back`() {
        for bits in UInt16.min...UInt16.max {
            let value = ElementConversion.float(half: bits)
            let expected = Float(Float16(bitPattern: bits))
            if expected.isNaN {
                #expect(value.isNaN && !value.isSignalingNaN)
                #expect(ElementConversion.half(value) == bits | 0x0200)
            } else {
                #expect(value.bitPattern == expected.bitPattern)
                #expect(ElementConversion.half(value) == bits)
            }
        }
    }

    @Test func `narrowing to half rounds to nearest, ties to even`() {
        for pattern in Self.patterns {
            let value = Float(bitPattern: pattern)
            let expected = Float16(value)
            let found = ElementConversion.half(value)
            if expected.isNaN {
                #expect(Float16(bitPattern: found).isNaN)
            } else {
                #expect(found == expected.bitPattern, "\(value)")
            }
        }
    }

    @Test func `narrowing to bfloat16 picks the nearest, ties to even`() {
        for pattern in Self.patterns {
            let value = Float(bitPattern: pattern)
            let found = ElementConversion.bfloat16(value)
            let back = ElementConversion.float(bfloat16: found)
            if value.isNaN {
                #expect(back.isNaN)
            } else {
                let low = UInt16(pattern >> 16)
                #expect(found == low || found == low + 1)
                let below = pattern & 0xFFFF
                let up = below > 0x8000 || (below == 0x8000 && low & 1 == 1)
                #expect(found == (up ? low + 1 : low), "\(value)")
            }
        }
    }

    @Test(arguments: [DType.f64, .f32, .f16, .bf16], [0, 1, 7, 64, 1001])
    func `arrays convert element by element, from any address`(dtype: DType, count: Int) {
        let values = (0..<count).map { Float($0) * 0.25 - 3 }
        var bytes = [UInt8](repeating: 0, count: count * dtype.byteWidth + 1)
        var back = [Float](repeating: -1, count: count)
        bytes.withUnsafeMutableBytes { buffer in
            let shifted = UnsafeMutableRawBufferPointer(rebasing: buffer.dropFirst())
            values.withUnsafeBufferPointer {
                ElementConversion.encode($0, as: dtype, into: shifted)
            }
            back.withUnsafeMutableBufferPointer {
                ElementConversion.decode(UnsafeRawBufferPointer(shifted), as: dtype, into: $0)
            }
        }
        // Quarters below 1001 / 4 fit half; bfloat16 has eight bits of them.
        let expected =
            dtype == .bf16
            ? values.map { ElementConversion.float(bfloat16: ElementConversion.bfloat16($0)) }
            : values
        #expect(back == expected)
    }
}
