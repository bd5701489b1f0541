// SPDX-License-Identifier: Apache-2.0
// The SHA-1 digest (FIPS 180-4), by which git names what it keeps. Not for secrets.

/// A running SHA-1.
struct SHA1 {
    private static let blockBytes = 64
    private var state: SIMD8<UInt32> = [
        0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0,
    ]
    /// The bytes of a block that is not full yet.
    private var pending: [UInt8] = []
    private var byteCount: UInt64 = 0

    /// Goes on with more bytes.
    mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Goes on with more memory.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount &+= UInt64(bytes.count)
        var rest = bytes[...]
        if !pending.isEmpty {
            let taken = min(Self.blockBytes - pending.count, rest.count)
            pending.append(contentsOf: rest.prefix(taken))
            rest = rest.dropFirst(taken)
            guard pending.count == Self.blockBytes else { return }
            pending.withUnsafeBytes { Self.mix(blocks: $0, into: &state) }
            pending.removeAll(keepingCapacity: true)
        }
        let whole = rest.count / Self.blockBytes * Self.blockBytes
        Self.mix(blocks: UnsafeRawBufferPointer(rebasing: rest.prefix(whole)), into: &state)
        pending.append(contentsOf: rest.dropFirst(whole))
    }

    /// The digest in lower-case hexadecimal digits.
    func finish() -> String {
        var sum = self
        let bits = byteCount &* 8
        let used = (pending.count + 1 + 8) % Self.blockBytes
        let zeros = used == 0 ? 0 : Self.blockBytes - used
        sum.update([0x80] + [UInt8](repeating: 0, count: zeros))
        sum.update((0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) })
        return (0..<5).map { place in
            let digits = String(sum.state[place], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    private static func mix(blocks: UnsafeRawBufferPointer, into state: inout SIMD8<UInt32>) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { words in
            for start in stride(from: 0, to: blocks.count, by: blockBytes) {
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
