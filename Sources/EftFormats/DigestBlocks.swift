// SPDX-License-Identifier: Apache-2.0
// Bytes in blocks of 64, as SHA-1 and SHA-256 take them (FIPS 180-4).

/// Cuts bytes that come in pieces into blocks, and pads the last one.
package struct DigestBlocks: Sendable {
    /// Bytes of a block.
    package static let byteCount = 64

    /// The bytes of a block that is not full yet.
    private var pending: [UInt8] = []
    private var total: UInt64 = 0

    /// No bytes yet.
    package init() {}

    /// Goes on with more memory.
    /// - Parameter take: given whole blocks, in order; perhaps none.
    package mutating func add(
        _ bytes: UnsafeRawBufferPointer, take: (UnsafeRawBufferPointer) -> Void
    ) {
        total &+= UInt64(bytes.count)
        var rest = bytes[...]
        if !pending.isEmpty {
            let taken = min(Self.byteCount - pending.count, rest.count)
            pending.append(contentsOf: rest.prefix(taken))
            rest = rest.dropFirst(taken)
            guard pending.count == Self.byteCount else { return }
            pending.withUnsafeBytes(take)
            pending.removeAll(keepingCapacity: true)
        }
        let whole = rest.count / Self.byteCount * Self.byteCount
        take(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
        pending.append(contentsOf: rest.dropFirst(whole))
    }

    /// What makes the last block whole: a bit, zeros, and the number of bits.
    package var padding: [UInt8] {
        let bits = total &* 8
        var padding: [UInt8] = [0x80]
        while (pending.count + padding.count) % Self.byteCount != Self.byteCount - 8 {
            padding.append(0)
        }
        return padding + (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
    }
}
