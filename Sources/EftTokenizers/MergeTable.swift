// SPDX-License-Identifier: Apache-2.0
// Which pairs of tokens merge, in which order, into what.

/// Merges by pair of ids.
struct MergeTable: Sendable {
    /// The place of a merge in the order of merging, and the token it makes.
    struct Merge {
        /// Merges with a lower rank come first.
        let rank: UInt32
        /// The id of the merged token.
        let id: Int32
    }

    private static let empty = UInt64.max
    private var keys: [UInt64]
    private var values: [UInt64]
    private(set) var count = 0

    /// Makes a table with room for `capacity` merges.
    init(capacity: Int) {
        var size = 16
        while size < capacity &* 2 && size < 1 << 28 { size &*= 2 }
        keys = [UInt64](repeating: Self.empty, count: size)
        values = [UInt64](repeating: 0, count: size)
    }

    /// The merge of a pair, or nil when the two do not merge.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge? {
        let place = slot(Self.key(left, right))
        guard keys[place] != Self.empty else { return nil }
        let value = values[place]
        return Merge(
            rank: UInt32(truncatingIfNeeded: value >> 32), id: Int32(truncatingIfNeeded: value))
    }

    /// Sets the merge of a pair; the last one set for a pair holds.
    mutating func set(_ left: Int32, _ right: Int32, rank: UInt32, id: Int32) {
        if count &* 2 >= keys.count { grow() }
        let key = Self.key(left, right)
        let place = slot(key)
        if keys[place] == Self.empty {
            keys[place] = key
            count &+= 1
        }
        values[place] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: id))
    }

    /// All pairs and what they make, those that merge first before others.
    var ranked: [(left: Int32, right: Int32, id: Int32)] {
        let used = keys.indices.filter { keys[$0] != Self.empty }
        return used.sorted { values[$0] >> 32 < values[$1] >> 32 }.map { place in
            (
                Int32(truncatingIfNeeded: keys[place] >> 32),
                Int32(truncatingIfNeeded: keys[place]), Int32(truncatingIfNeeded: values[place])
            )
        }
    }

    private mutating func grow() {
        let (oldKeys, oldValues) = (keys, values)
        keys = [UInt64](repeating: Self.empty, count: oldKeys.count &* 2)
        values = [UInt64](repeating: 0, count: oldKeys.count &* 2)
        for (index, key) in oldKeys.enumerated() where key != Self.empty {
            let place = slot(key)
            keys[place] = key
            values[place] = oldValues[index]
        }
    }

    /// Ids are never negative, so no key equals the mark of an empty slot.
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        let mask = keys.count &- 1
        let mixed = (key ^ key >> 29) &* 0x9E37_79B9_7F4A_7C15
        var place = Int(truncatingIfNeeded: mixed >> 32) & mask
        while keys[place] != key && keys[place] != Self.empty { place = (place &+ 1) & mask }
        return place
    }
}
