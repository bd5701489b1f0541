// SPDX-License-Identifier: Apache-2.0
// Where an order of tokens reaches a given mass, without sorting them.

/// The place in the order by key (greatest first, equal ones by index) at which weights reach a goal.
struct MassCut {
    /// The last kept item's key and index.
    private(set) var key: Double
    private var index: Int

    private struct Item {
        let key: Double
        let weight: Float
        let index: Int32

        func precedes(_ other: Item) -> Bool {
            key != other.key ? key > other.key : index < other.index
        }
    }

    /// Finds the first item at which the weights up to and with it are at least `goal`; the last item when none is.
    /// Expected linear time: a selection whose partitions are weighed instead of counted.
    init(_ weights: [Float], reaching goal: Double, _ key: (Int) -> Double) {
        var items = weights.indices.map {
            Item(key: key($0), weight: weights[$0], index: Int32(truncatingIfNeeded: $0))
        }
        (self.key, index) = (-.infinity, .max)
        items.withUnsafeMutableBufferPointer { items in
            var (low, high, before) = (0, items.count, 0.0)
            while low < high {
                let place = Self.partition(items, low, high)
                var upTo = before
                for item in items[low..<place] { upTo += Double(item.weight) }
                let pivot = items[place]
                if upTo >= goal {
                    high = place
                    continue
                }
                (self.key, index) = (pivot.key, Int(pivot.index))
                before = upTo + Double(pivot.weight)
                if before >= goal { return }
                low = place + 1
            }
        }
    }

    /// Whether an item stands at or before the cut.
    func keeps(_ key: Double, _ index: Int) -> Bool {
        key != self.key ? key > self.key : index <= self.index
    }

    /// Moves what precedes a pivot, the median of three, before it; returns the pivot's place.
    private static func partition(
        _ items: UnsafeMutableBufferPointer<Item>, _ low: Int, _ high: Int
    ) -> Int {
        let (middle, last) = (low + (high - low) / 2, high - 1)
        if items[middle].precedes(items[low]) { items.swapAt(middle, low) }
        if items[last].precedes(items[low]) { items.swapAt(last, low) }
        if items[middle].precedes(items[last]) { items.swapAt(middle, last) }
        let pivot = items[last]
        var place = low
        for index in low..<last where items[index].precedes(pivot) {
            items.swapAt(index, place)
            place += 1
        }
        items.swapAt(place, last)
        return place
    }
}
