// SPDX-License-Identifier: Apache-2.0
// Conversion between Float and the other real element types, bit by bit.
import EftTensor

/// Conversion of real numbers between element types, little-endian in bytes.
///
/// Narrowing rounds to nearest, ties to even; values too large become infinite; a NaN stays a NaN (made quiet).
package enum ElementConversion {
    // MARK: Arrays

    /// Widens or narrows stored elements to `Float`s; `bytes` holds exactly as many elements as `target`.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, as dtype: DType,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(bytes.count == target.count * dtype.byteWidth, "sizes differ")
        switch dtype {
        case .f32:
            UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
        case .bf16:
            for i in 0..<target.count {
                target[i] = float(
                    bfloat16: bytes.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
            }
        case .f16:
            for i in 0..<target.count {
                target[i] = float(half: bytes.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
            }
        case .f64:
            for i in 0..<target.count {
                target[i] = Float(bytes.loadUnaligned(fromByteOffset: i * 8, as: Double.self))
            }
        case .f8e4m3, .i64, .i32, .i16, .i8, .u8, .bool:
            preconditionFailure("\(dtype) holds no real numbers without a scale")
        }
    }

    /// Stores `Float`s as elements of another type; `target` has exactly as many places.
    package static func encode(
        _ values: UnsafeBufferPointer<Float>, as dtype: DType,
        into target: UnsafeMutableRawBufferPointer
    ) {
        precondition(target.count == values.count * dtype.byteWidth, "sizes differ")
        switch dtype {
        case .f32:
            target.copyMemory(from: UnsafeRawBufferPointer(values))
        case .bf16:
            for i in 0..<values.count {
                target.storeBytes(
                    of: bfloat16(values[i]), toByteOffset: i * 2, as: UInt16.self)
            }
        case .f16:
            for i in 0..<values.count {
                target.storeBytes(of: half(values[i]), toByteOffset: i * 2, as: UInt16.self)
            }
        case .f64:
            for i in 0..<values.count {
                target.storeBytes(of: Double(values[i]), toByteOffset: i * 8, as: Double.self)
            }
        case .f8e4m3, .i64, .i32, .i16, .i8, .u8, .bool:
            preconditionFailure("\(dtype) holds no real numbers without a scale")
        }
    }

    // MARK: bfloat16: 1 sign, 8 exponent, 7 fraction bits

    /// The exact value of a bfloat16.
    @inlinable package static func float(bfloat16 bits: UInt16) -> Float {
        Float(bitPattern: UInt32(bits) << 16)
    }

    /// The nearest bfloat16.
    @inlinable package static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if bits & 0x7FFF_FFFF > 0x7F80_0000 { return UInt16(bits >> 16) | 0x0040 }
        // Half of the last place, less one when the kept part is even: a tie goes to even.
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    // MARK: IEEE half: 1 sign, 5 exponent, 10 fraction bits

    /// The exact value of a half.
    @inlinable package static func float(half bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = UInt32(bits >> 10 & 0x1F)
        let fraction = UInt32(bits & 0x3FF)
        if exponent == 0x1F {
            // Infinity keeps its zero fraction; a NaN keeps its payload and becomes quiet.
            let quiet: UInt32 = fraction == 0 ? 0 : 0x0040_0000
            return Float(bitPattern: sign | 0x7F80_0000 | quiet | fraction << 13)
        }
        if exponent != 0 {
            return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
        if fraction == 0 { return Float(bitPattern: sign) }
        // A subnormal half is fraction * 2^-24: move its first bit to the implied place.
        let shift = UInt32(fraction.leadingZeroBitCount) - 21
        return Float(bitPattern: sign | (113 - shift) << 23 | (fraction << shift & 0x3FF) << 13)
    }

    /// The nearest half.
    @inlinable package static func half(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let sign = UInt16(bits >> 16 & 0x8000)
        let magnitude = bits & 0x7FFF_FFFF
        if magnitude > 0x7F80_0000 {
            return sign | 0x7E00 | UInt16(magnitude >> 13 & 0x3FF)
        }
        // From 65520 on (half a step above the largest half) the nearest is infinity.
        if magnitude >= 0x477F_F000 { return sign | 0x7C00 }
        if magnitude >= 0x3880_0000 {
            let rounded = magnitude &+ 0xFFF &+ (magnitude >> 13 & 1)
            return sign | UInt16(truncatingIfNeeded: (rounded &- 0x3800_0000) >> 13)
        }
        // At or below 2^-25 the nearest is zero (the tie itself goes to even, which is zero).
        if magnitude <= 0x3300_0000 { return sign }
        let shift = 126 - (magnitude >> 23)
        let significand = magnitude & 0x7F_FFFF | 0x80_0000
        let kept = significand >> shift
        let rest = significand & (1 << shift - 1)
        let middle: UInt32 = 1 << (shift - 1)
        let up = rest > middle || (rest == middle && kept & 1 == 1)
        return sign | UInt16(truncatingIfNeeded: kept + (up ? 1 : 0))
    }
}
