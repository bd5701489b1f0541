// SPDX-License-Identifier: Apache-2.0
// Sets of Unicode scalars.

/// A set of Unicode scalars, as sorted ranges with gaps between them; never holds a surrogate.
struct ScalarSet: Sendable, Hashable {
    /// The ranges, ascending.
    private(set) var ranges: [ClosedRange<UInt32>]

    /// No scalar.
    static let none = ScalarSet(ranges: [])
    /// Every scalar.
    static let all = ScalarSet(ranges: [0...0xD7FF, 0xE000...0x10FFFF])
    private static let last: UInt32 = 0x10FFFF

    private init(ranges: [ClosedRange<UInt32>]) { self.ranges = ranges }

    /// The scalars of ranges in any order; surrogates and what is no code point are left out.
    init(_ parts: [ClosedRange<UInt32>]) {
        var merged: [ClosedRange<UInt32>] = []
        for part in parts.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let end = merged.last?.upperBound,
                part.lowerBound <= end || part.lowerBound - 1 == end
            {
                let start = merged[merged.count - 1].lowerBound
                merged[merged.count - 1] = start...max(end, part.upperBound)
            } else {
                merged.append(part)
            }
        }
        ranges = ScalarSet(ranges: merged).intersection(.all).ranges
    }

    /// One scalar.
    init(_ scalar: Unicode.Scalar) { ranges = [scalar.value...scalar.value] }

    /// The scalars of a text.
    init(of text: String) { self.init(text.unicodeScalars.map { $0.value...$0.value }) }

    /// Whether there is no scalar.
    var isEmpty: Bool { ranges.isEmpty }

    /// Whether a scalar is in the set.
    func contains(_ value: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(value)
    }

    /// Scalars in both sets.
    func intersection(_ other: ScalarSet) -> ScalarSet {
        var result: [ClosedRange<UInt32>] = []
        var (i, j) = (0, 0)
        while i < ranges.count, j < other.ranges.count {
            let low = max(ranges[i].lowerBound, other.ranges[j].lowerBound)
            let high = min(ranges[i].upperBound, other.ranges[j].upperBound)
            if low <= high { result.append(low...high) }
            if ranges[i].upperBound < other.ranges[j].upperBound { i += 1 } else { j += 1 }
        }
        return ScalarSet(ranges: result)
    }

    /// Scalars in either set.
    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    /// Scalars that are not in the set.
    var inverted: ScalarSet {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= Self.last { result.append(next...Self.last) }
        return ScalarSet(ranges: result).intersection(.all)
    }

    /// Scalars that are not in `other`.
    func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.inverted) }
}

extension ScalarSet {
    static let digits = ScalarSet(["0"..."9"])
    static let letters = ScalarSet(["A"..."Z", "a"..."z"])
    static let hexDigits = ScalarSet(["0"..."9", "A"..."F", "a"..."f"])

    /// The scalars between two, given as characters of the source.
    init(_ parts: [ClosedRange<Unicode.Scalar>]) {
        self.init(parts.map { $0.lowerBound.value...$0.upperBound.value })
    }
}
