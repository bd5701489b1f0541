// SPDX-License-Identifier: Apache-2.0
// How keys and values are held in the pages of a cache.
import CEftKernels

/// The form of keys and values in a cache: numbers, or codes of rotated runs of 32 with a half scale each.
///
/// The codes' names and widths are ExLlamaV2's: Q6 has keys of 8 and values of 4 bits.
package enum KVType: String, Sendable, CaseIterable {
    case f32
    case f16
    case bf16
    case q8
    case q6
    case q4

    /// Bits of the codes of a key and of a value; 0 for numbers.
    package var bits: (key: Int, value: Int) {
        switch self {
        case .f32, .f16, .bf16: (0, 0)
        case .q8: (8, 8)
        case .q6: (8, 4)
        case .q4: (4, 4)
        }
    }

    /// Whether heads of this size can be held: codes take multiples of 32 up to 256.
    package func holds(headDim: Int) -> Bool {
        bits.key == 0 || (headDim % 32 == 0 && headDim <= Int(EFT_KV_MOST_DIM))
    }

    /// Bytes of a page of 16 tokens of one layer, keys and values.
    package func pageBytes(kvHeads: Int, headDim: Int) -> Int {
        let numbers = kvHeads * headDim * pageTokens
        switch self {
        case .f32: return numbers * 8
        case .f16, .bf16: return numbers * 4
        case .q8, .q6, .q4:
            return numbers / 8 * (bits.key + bits.value) + kvHeads * headDim * 2
        }
    }
}
