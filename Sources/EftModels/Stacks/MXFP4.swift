// SPDX-License-Identifier: Apache-2.0
// Blocks of 4-bit numbers as gpt-oss's folders hold them.

/// A row of blocks of 32 numbers, as it is stored: 16 bytes of codes a block, numbers 2i and 2i + 1 in byte i, and an exponent.
struct StoredRow {
    /// [blocks][16].
    var codes: [UInt8]
    /// [blocks].
    var exponents: [UInt8]

    /// Room for a row.
    init(blocks: Int) {
        codes = [UInt8](repeating: 0, count: blocks * 16)
        exponents = [UInt8](repeating: 0, count: blocks)
    }
}

/// Numbers of 4 bits (a sign, 2 of exponent, 1 of mantissa) of which 32 share a power of two.
enum MXFP4 {
    /// Bytes of a block in GGUF's order: the exponent, then numbers i and i + 16 in each byte.
    static let blockBytes = 17

    /// The numbers without their sign, as f32 bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
    private static let values: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]

    /// The bf16 numbers of all codes for all exponents, those of an exponent together.
    private static let numbers = (0..<4096).map { bf16(UInt8($0 & 15), exponent: UInt8($0 >> 4)) }

    /// A code times 2 to the power of `exponent` - 127, as the bits of a bf16 number.
    static func bf16(_ code: UInt8, exponent: UInt8) -> UInt16 {
        let value = values[Int(code & 7)]
        let scaled = Float(sign: .plus, exponent: Int(exponent) - 127, significand: value)
        let bits = UInt16(truncatingIfNeeded: scaled.bitPattern >> 16)
        return code & 8 == 0 ? bits : bits | 0x8000
    }

    /// A row as bf16 numbers.
    static func decode(_ row: StoredRow, into numbers: inout [UInt16]) {
        for block in row.exponents.indices {
            for pair in 0..<16 {
                let code = row.codes[block * 16 + pair]
                let place = block * 32 + 2 * pair
                let table = Int(row.exponents[block]) << 4
                numbers[place] = MXFP4.numbers[table | Int(code & 15)]
                numbers[place + 1] = MXFP4.numbers[table | Int(code >> 4)]
            }
        }
    }

    /// A row as GGUF's blocks.
    static func interleave(_ row: StoredRow, into target: UnsafeMutableRawBufferPointer) {
        for block in row.exponents.indices {
            let place = block * blockBytes
            target[place] = row.exponents[block]
            for pair in 0..<8 {
                let (low, high) = (row.codes[block * 16 + pair], row.codes[block * 16 + 8 + pair])
                target[place + 1 + 2 * pair] = low & 15 | high << 4
                target[place + 2 + 2 * pair] = low >> 4 | high & 0xF0
            }
        }
    }
}
