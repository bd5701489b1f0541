// SPDX-License-Identifier: Apache-2.0
// Ranges of scalars as sequences of byte ranges.

/// The UTF-8 spellings of ranges of scalars.
enum UTF8Ranges {
    /// Calls `body` with sequences of one to four byte ranges that together spell the scalars of a range exactly.
    static func forEach<Failure: Error>(
        in range: ClosedRange<UInt32>, _ body: ([ClosedRange<UInt8>]) throws(Failure) -> Void
    ) throws(Failure) {
        var parts = [range]
        while let part = parts.popLast() {
            let (low, high) = (part.lowerBound, part.upperBound)
            // One length only.
            if let edge = [0x7F, 0x7FF, 0xFFFF].first(where: { low <= $0 && $0 < high }) {
                parts.append((edge + 1)...high)
                parts.append(low...edge)
                continue
            }
            if low >= 0x80, let cut = cut(low, high) {
                parts.append(cut...high)
                parts.append(low...(cut - 1))
                continue
            }
            try body(zip(bytes(low), bytes(high)).map { $0...$1 })
        }
    }

    /// Where a range must be cut so that, from some byte on, all continuation bytes are possible; nil when it is so.
    private static func cut(_ low: UInt32, _ high: UInt32) -> UInt32? {
        for level in 1..<4 {
            let mask: UInt32 = (1 << (6 * UInt32(level))) - 1
            if low & ~mask == high & ~mask { continue }
            if low & mask != 0 { return (low | mask) + 1 }
            if high & mask != mask { return high & ~mask }
        }
        return nil
    }

    /// The bytes of one scalar value.
    static func bytes(_ value: UInt32) -> [UInt8] {
        func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(value >> shift & 0x3F) }
        func head(_ mark: UInt8, _ shift: UInt32) -> UInt8 {
            mark | UInt8(truncatingIfNeeded: value >> shift)
        }
        return switch value {
        case ..<0x80: [UInt8(value)]
        case ..<0x800: [head(0xC0, 6), tail(0)]
        case ..<0x1_0000: [head(0xE0, 12), tail(6), tail(0)]
        default: [head(0xF0, 18), tail(12), tail(6), tail(0)]
        }
    }
}
