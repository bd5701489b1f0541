// SPDX-License-Identifier: Apache-2.0
// The scales of EXL2, by the chain of half-precision products that defines them.
import EftFormats

/// Scales and values of EXL2: weight = half((code - 2^(bits-1)) * scale).
///
/// Every product is rounded to half with subnormals kept; the product of two halves is exact in f32, so one rounding
/// there gives the half product.
package enum EXL2Scale {
    /// half(scale_max / 256), as half bits.
    package static func step(scaleMax: UInt16) -> UInt16 {
        ElementConversion.half(ElementConversion.float(half: scaleMax) * (1 / 256))
    }

    /// The scales of a group for s = 1...16, as half bits: half(s^2 * half(scale_max / 256)).
    /// - Parameter scaleMax: half bits of the group's `q_scale_max`.
    package static func table(scaleMax: UInt16) -> [UInt16] {
        let value = ElementConversion.float(half: step(scaleMax: scaleMax))
        return (1...16).map { ElementConversion.half(Float($0 * $0) * value) }
    }
}
