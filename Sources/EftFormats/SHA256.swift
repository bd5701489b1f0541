// SPDX-License-Identifier: Apache-2.0
// The SHA-256 digest (FIPS 180-4).
import CEftKernels

/// A running SHA-256.
package struct SHA256: Sendable {
    /// A digest of 32 bytes.
    package struct Digest: Hashable, Sendable {
        fileprivate let words: SIMD8<UInt32>

        /// The digest's bytes.
        package var bytes: [UInt8] {
            words.indices.flatMap { place in
                (0..<4).map { UInt8(truncatingIfNeeded: words[place] >> (24 - 8 * UInt32($0))) }
            }
        }

        /// The digest in lower-case hexadecimal digits.
        package var hex: String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }

        /// Whether two digests are equal, in a time that does not tell where they differ.
        package func isEqual(to other: Digest) -> Bool {
            let differences = words ^ other.words
            return words.indices.reduce(0) { $0 | differences[$1] } == 0
        }
    }

    private var state: SIMD8<UInt32> = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
        0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var blocks = DigestBlocks()
    /// Whether the processor's instructions are used where it has them.
    private let usesInstructions: Bool

    /// A digest of nothing yet.
    /// - Parameter usesInstructions: false computes it step by step on any processor.
    package init(usesInstructions: Bool = true) { self.usesInstructions = usesInstructions }

    /// The digest of some bytes.
    package static func digest(_ bytes: [UInt8]) -> Digest {
        bytes.withUnsafeBytes { digest($0) }
    }

    /// The digest of some memory.
    package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
        var sum = SHA256()
        sum.update(bytes)
        return sum.finish()
    }

    /// Goes on with more bytes.
    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Goes on with more memory.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var state = state
        blocks.add(bytes) { [usesInstructions] whole in
            let isDone = usesInstructions && SHA256.takeByInstructions(whole, into: &state)
            if !isDone { SHA256.take(blocks: whole, into: &state) }
        }
        self.state = state
    }

    /// The digest of all bytes so far.
    package func finish() -> Digest {
        var sum = self
        sum.update(blocks.padding)
        return Digest(words: sum.state)
    }

    /// Takes blocks by the processor's instructions; false where it has none.
    private static func takeByInstructions(
        _ blocks: UnsafeRawBufferPointer, into state: inout SIMD8<UInt32>
    ) -> Bool {
        guard let base = blocks.baseAddress, !blocks.isEmpty else { return true }
        return withUnsafeMutableBytes(of: &state) {
            eft_sha256_blocks(
                $0.baseAddress?.assumingMemoryBound(to: UInt32.self), base,
                blocks.count / DigestBlocks.byteCount)
        }
    }

    private static func take(blocks: UnsafeRawBufferPointer, into state: inout SIMD8<UInt32>) {
        roundConstants.withUnsafeBufferPointer { constants in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { schedule in
                for start in stride(from: 0, to: blocks.count, by: DigestBlocks.byteCount) {
                    for place in 0..<16 {
                        schedule[place] = UInt32(
                            bigEndian: blocks.loadUnaligned(
                                fromByteOffset: start + 4 * place, as: UInt32.self))
                    }
                    compress(schedule, constants, &state)
                }
            }
        }
    }

    private static func compress(
        _ w: UnsafeMutableBufferPointer<UInt32>, _ k: UnsafeBufferPointer<UInt32>,
        _ state: inout SIMD8<UInt32>
    ) {
        for t in 16..<64 {
            let (early, late) = (w[t - 15], w[t - 2])
            let s0 = rotated(early, 7) ^ rotated(early, 18) ^ (early >> 3)
            let s1 = rotated(late, 17) ^ rotated(late, 19) ^ (late >> 10)
            w[t] = w[t - 16] &+ s0 &+ w[t - 7] &+ s1
        }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = (state[4], state[5], state[6], state[7])
        for t in 0..<64 {
            let s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
            let first = h &+ s1 &+ ((e & f) ^ (~e & g)) &+ k[t] &+ w[t]
            let s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
            let second = s0 &+ ((a & b) ^ (a & c) ^ (b & c))
            (h, g, f, e) = (g, f, e, d &+ first)
            (d, c, b, a) = (c, b, a, first &+ second)
        }
        state = state &+ SIMD8(a, b, c, d, e, f, g, h)
    }

    @inline(__always)
    private static func rotated(_ x: UInt32, _ bits: UInt32) -> UInt32 {
        x &>> bits | x &<< (32 &- bits)
    }

    private static let roundConstants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
        0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
        0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
        0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
        0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
        0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]
}
