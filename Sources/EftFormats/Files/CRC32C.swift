// SPDX-License-Identifier: Apache-2.0
// The checksum CRC-32C (Castagnoli), which records of event files carry.

/// CRC-32C with the polynomial 0x1EDC6F41, bits reflected, as in RFC 3720.
package enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        var value = UInt32(index)
        for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
        return value
    }

    /// The checksum of all bytes.
    package static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value = (value >> 8) ^ table[Int((value ^ UInt32(byte)) & 0xFF)]
        }
        return ~value
    }
}
