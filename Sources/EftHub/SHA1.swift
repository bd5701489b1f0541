// SPDX-License-Identifier: Apache-2.0
// The SHA-1 digest (FIPS 180-4), by which git names what it keeps. Not for secrets.
import EftFormats

/// A running SHA-1.
struct SHA1 {
    private var state: SIMD8<UInt32> = [
        0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0,
    ]
    private var blocks = DigestBlocks()

    /// Goes on with more bytes.
    mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Goes on with more memory.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var state = state
        blocks.add(bytes) { Self.mix(blocks: $0, into: &state) }
        self.state = state
    }

    /// The digest in lower-case hexadecimal digits.
    func finish() -> String {
        var sum = self
        sum.update(blocks.padding)
        return (0..<5).map { place in
            let digits = String(sum.state[place], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    private static func mix(blocks: UnsafeRawBufferPointer, into state: inout SIMD8<UInt32>) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { words in
            for start in stride(from: 0, to: blocks.count, by: DigestBlocks.byteCount) {
                for place in 0..<16 {
                    words[place] = UInt32(
                        bigEndian: blocks.loadUnaligned(
                            fromByteOffset: start + 4 * place, as: UInt32.self))
                }
                for place in 16..<80 {
                    words[place] = rotated(
                        words[place - 3] ^ words[place - 8] ^ words[place - 14]
                            ^ words[place - 16], 1)
                }
                mix(words, into: &state)
            }
        }
    }

    private static func mix(
        _ words: UnsafeMutableBufferPointer<UInt32>, into state: inout SIMD8<UInt32>
    ) {
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for round in 0..<80 {
            let (mixed, constant): (UInt32, UInt32) =
                switch round {
                case 0..<20: (b & c | ~b & d, 0x5a82_7999)
                case 20..<40: (b ^ c ^ d, 0x6ed9_eba1)
                case 40..<60: (b & c | b & d | c & d, 0x8f1b_bcdc)
                default: (b ^ c ^ d, 0xca62_c1d6)
                }
            let next = rotated(a, 5) &+ mixed &+ e &+ constant &+ words[round]
            (a, b, c, d, e) = (next, a, rotated(b, 30), c, d)
        }
        state = state &+ SIMD8(a, b, c, d, e, 0, 0, 0)
    }

    @inline(__always)
    private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
        word &<< count | word &>> (32 &- count)
    }
}
