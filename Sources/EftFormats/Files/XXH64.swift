// SPDX-License-Identifier: Apache-2.0
// The checksum XXH64 (Collet), fast enough to check what a disk delivers.

/// A running XXH64 of seed 0.
package struct XXH64: Sendable {
    private static let primes: [UInt64] = [
        0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9,
        0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5,
    ]
    private static let p1 = primes[0]
    private static let p2 = primes[1]
    private static let p3 = primes[2]
    private static let p4 = primes[3]
    private static let p5 = primes[4]

    private var lanes: SIMD4<UInt64>
    private var byteCount: UInt64 = 0

    /// Begins.
    package init() {
        lanes = SIMD4(XXH64.p1 &+ XXH64.p2, XXH64.p2, 0, 0 &- XXH64.p1)
    }

    private static func rotate<V: FixedWidthInteger>(_ value: V, _ count: V) -> V {
        value << count | value >> (V(V.bitWidth) - count)
    }

    /// Takes bytes; their number is a multiple of 32.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count % 32 == 0, "whole stripes of 32 bytes")
        guard let base = bytes.baseAddress else { return }
        let (p1, p2) = (XXH64.p1, XXH64.p2)
        var (a, b, c, d) = (lanes[0], lanes[1], lanes[2], lanes[3])
        var offset = 0
        while offset < bytes.count {
            let stripe = base + offset
            a = XXH64.rotate(a &+ XXH64.word(stripe, 0) &* p2, 31) &* p1
            b = XXH64.rotate(b &+ XXH64.word(stripe, 8) &* p2, 31) &* p1
            c = XXH64.rotate(c &+ XXH64.word(stripe, 16) &* p2, 31) &* p1
            d = XXH64.rotate(d &+ XXH64.word(stripe, 24) &* p2, 31) &* p1
            offset += 32
        }
        lanes = SIMD4(a, b, c, d)
        byteCount &+= UInt64(bytes.count)
    }

    private static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The checksum of all bytes taken, and of `tail` (fewer than 32) behind them.
    package func finish(_ tail: UnsafeRawBufferPointer = .init(start: nil, count: 0)) -> UInt64 {
        precondition(tail.count < 32, "a tail of less than a stripe")
        let (p1, p2, p3, p4, p5) = (XXH64.p1, XXH64.p2, XXH64.p3, XXH64.p4, XXH64.p5)
        func round(_ value: UInt64, _ lane: UInt64) -> UInt64 {
            XXH64.rotate(value &+ lane &* p2, 31) &* p1
        }
        var hash = p5
        if byteCount >= 32 {
            hash =
                XXH64.rotate(lanes[0], 1) &+ XXH64.rotate(lanes[1], 7)
                &+ XXH64.rotate(lanes[2], 12) &+ XXH64.rotate(lanes[3], 18)
            for index in 0..<4 { hash = (hash ^ round(0, lanes[index])) &* p1 &+ p4 }
        }
        hash &+= byteCount &+ UInt64(tail.count)
        var rest = tail[...]
        while rest.count >= 8 {
            let word = UnsafeRawBufferPointer(rebasing: rest).loadUnaligned(as: UInt64.self)
            hash = XXH64.rotate(hash ^ round(0, UInt64(littleEndian: word)), 27) &* p1 &+ p4
            rest = rest.dropFirst(8)
        }
        if rest.count >= 4 {
            let word = UnsafeRawBufferPointer(rebasing: rest).loadUnaligned(as: UInt32.self)
            hash = XXH64.rotate(hash ^ UInt64(UInt32(littleEndian: word)) &* p1, 23) &* p2 &+ p3
            rest = rest.dropFirst(4)
        }
        for byte in rest { hash = XXH64.rotate(hash ^ UInt64(byte) &* p5, 11) &* p1 }
        hash = (hash ^ hash >> 33) &* p2
        hash = (hash ^ hash >> 29) &* p3
        return hash ^ hash >> 32
    }

    /// The checksum of bytes that stand in memory.
    package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var state = XXH64()
        let whole = bytes.count / 32 * 32
        state.update(UnsafeRawBufferPointer(rebasing: bytes[..<whole]))
        return state.finish(UnsafeRawBufferPointer(rebasing: bytes[whole...]))
    }

    /// The checksum of a text, as 16 hexadecimal digits.
    package static func hex(_ text: String) -> String {
        Array(text.utf8).withUnsafeBytes { hex(hash($0)) }
    }

    /// A checksum as 16 hexadecimal digits.
    package static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
