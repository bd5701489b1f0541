// SPDX-License-Identifier: Apache-2.0
// A compact set of byte strings, each with a number.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Byte strings numbered in the order of their insertion, found by content.
///
/// Token texts are compared as bytes, never as `String`s, whose equality is canonical equivalence: a vocabulary may
/// well hold both spellings of one character.
struct ByteStringTable: Sendable {
    private var bytes: [UInt8] = []
    private var offsets: [Int] = [0]
    private var slots: [Int32]
    private static let seed = UInt64.random(in: .min ... .max)

    /// Makes an empty table with room for about `capacity` strings.
    init(capacity: Int = 64) {
        var size = 16
        while size < capacity &* 2 && size < 1 << 24 { size &*= 2 }
        slots = [Int32](repeating: -1, count: size)
    }

    /// Number of strings.
    var count: Int { offsets.count &- 1 }

    /// Number of bytes in all strings.
    var byteCount: Int { bytes.count }

    /// The bytes of string `index`.
    subscript(index: Int) -> ArraySlice<UInt8> { bytes[offsets[index]..<offsets[index &+ 1]] }

    /// The number of a string, or nil when it is not there.
    func index(of key: UnsafeBufferPointer<UInt8>) -> Int? {
        let found = Int(slots[slot(of: key)])
        return found < 0 ? nil : found
    }

    /// The number of a string, or nil when it is not there.
    func index(of key: [UInt8]) -> Int? { key.withUnsafeBufferPointer { index(of: $0) } }

    /// The number of a string, or nil when it is not there.
    func index(of key: String) -> Int? {
        var key = key
        return key.withUTF8 { index(of: $0) }
    }

    /// The number of a string, which is added when it is new.
    mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> (index: Int, isNew: Bool) {
        let place = slot(of: key)
        if slots[place] >= 0 { return (Int(slots[place]), false) }
        let index = count
        precondition(index < Int32.max, "a table of byte strings is full")
        slots[place] = Int32(index)
        bytes.append(contentsOf: key)
        offsets.append(bytes.count)
        if (index &+ 1) &* 2 > slots.count { grow() }
        return (index, true)
    }

    /// Forgets every string and keeps the room.
    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
        offsets.append(0)
        for slot in slots.indices { slots[slot] = -1 }
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count &* 2)
        for index in 0..<count {
            let range = offsets[index]..<offsets[index &+ 1]
            let place = bytes.withUnsafeBufferPointer { all in
                slot(of: UnsafeBufferPointer(rebasing: all[range]))
            }
            slots[place] = Int32(index)
        }
    }

    /// The slot that holds `key`, or the empty one where it belongs.
    private func slot(of key: UnsafeBufferPointer<UInt8>) -> Int {
        let mask = slots.count &- 1
        var place = Int(truncatingIfNeeded: Self.hash(key)) & mask
        while true {
            let index = Int(slots[place])
            if index < 0 { return place }
            let start = offsets[index]
            let length = offsets[index &+ 1] &- start
            if length == key.count && equals(start, key) { return place }
            place = (place &+ 1) & mask
        }
    }

    private func equals(_ start: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = key.baseAddress, !key.isEmpty else { return true }
        return bytes.withUnsafeBufferPointer { all in
            guard let own = all.baseAddress else { return false }
            return memcmp(own + start, base, key.count) == 0
        }
    }

    private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var state = seed ^ UInt64(truncatingIfNeeded: key.count)
        let raw = UnsafeRawBufferPointer(key)
        var offset = 0
        while offset &+ 8 <= raw.count {
            mix(&state, raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset &+= 8
        }
        var rest: UInt64 = 0
        while offset < raw.count {
            rest = rest << 8 | UInt64(raw[offset])
            offset &+= 1
        }
        mix(&state, rest)
        return state
    }

    private static func mix(_ state: inout UInt64, _ word: UInt64) {
        let product = (state ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        state = product.high ^ product.low
    }
}
