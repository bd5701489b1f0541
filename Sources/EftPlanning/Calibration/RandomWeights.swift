// SPDX-License-Identifier: Apache-2.0
// Weights of random codes: speed does not depend on values, and the shapes are real.
import EftQuant
import EftTensor

/// Makes weights of a shape without a checkpoint.
package enum RandomWeights {
    /// A weight of random numbers; scales are small, so that activations stay finite.
    package static func weight(
        _ layout: WeightLayout, seed: UInt64, ledger: MemoryLedger?
    ) throws -> PackedWeight {
        var permutation: [UInt32] = []
        if case .coded(_, _, _, true) = layout.format {
            permutation = (0..<UInt32(layout.inputs)).map { $0 }
        }
        let weight = try PackedWeight(layout: layout, permutation: permutation, ledger: ledger)
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        switch layout.format {
        case .coded(_, let scaleForm, _, _):
            fill(weight.panels, &state) { $0 }
            switch scaleForm {
            case .f32:
                weight.scales.floats.update(repeating: 0.02, count: weight.scales.floatCount)
            case .e8m0:
                // 2^-8.
                weight.scales.bytes.initializeMemory(as: UInt8.self, repeating: 120)
            case .offset, .kOffset, .kHalves, .kOffsetHalves:
                // Bytes of either half of 0x0080, a subnormal half, are small enough as codes as well.
                let step = UInt16(0x0080).littleEndian
                for at in stride(from: 0, to: weight.scales.byteCount, by: 2) {
                    weight.scales.base.storeBytes(of: step, toByteOffset: at, as: UInt16.self)
                }
            case .f16, .exl2:
                // Any bits are small scales where the halves among them are; 2^-17 as a subnormal half.
                let step = UInt16(0x0080).littleEndian
                for at in stride(from: 8, to: weight.scales.byteCount, by: scaleForm.bytesPerPanel)
                {
                    weight.scales.base.storeBytes(of: step, toByteOffset: at, as: UInt16.self)
                }
            }
        case .bf16, .f16:
            let isHalf = layout.format == .f16
            fill(weight.panels, &state) { RandomWeights.numbers($0, isHalf: isHalf) }
        case .f32:
            fill(weight.panels, &state) { ($0 & 0x801F_FFFF_801F_FFFF) | 0x3CA0_0000_3CA0_0000 }
        }
        return weight
    }

    /// Four 16-bit numbers of random bits: sign and low mantissa bits random, the exponent fixed, magnitudes around 0.02.
    package static func numbers(_ bits: UInt64, isHalf: Bool) -> UInt64 {
        (bits & 0x801F_801F_801F_801F) | (isHalf ? 0x2520_2520_2520_2520 : 0x3CA0_3CA0_3CA0_3CA0)
    }

    private static func fill(
        _ buffer: Buffer, _ state: inout UInt64, _ shape: (UInt64) -> UInt64
    ) {
        let words = buffer.base.assumingMemoryBound(to: UInt64.self)
        for index in 0..<buffer.byteCount / 8 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            words[index] = shape(state)
        }
    }
}
