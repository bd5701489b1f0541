// SPDX-License-Identifier: Apache-2.0
// Where an order of tokens reaches a given mass, without sorting them.

/// The place in the order by key (greatest first, equal ones by index) at which weights reach a goal.
struct MassCut {
    /// The last kept item's key and index.
    private(set) var key: Float = -.infinity
    private var index: Int32 = .max

    private struct Item {
        let key: Float
        let weight: Float
        let index: Int32

        func precedes(_ other: Item) -> Bool {
            key != other.key ? key > other.key : index < other.index
        }
    }

    /// Finds the first item at which the weights up to and with it are at least `goal`; the last item when none is.
    /// - Parameters:
    ///   - keys: finite, a weight for each.
    init(_ keys: [Float], _ weights: [Float], reaching goal: Double) {
        let bracket = Self.bracket(keys, weights, reaching: goal)
        let places = keys.withUnsafeBufferPointer {
            let row = LogitRow($0)
            return row.tokens(
                atLeast: bracket.low, capacity: row.countOf(atLeast: bracket.low)
            ).tokens
        }
        var items: [Item] = []
        items.reserveCapacity(places.count)
        for place in places where keys[Int(place)] < bracket.high {
            items.append(
                Item(
                    key: keys[Int(place)], weight: weights[Int(place)],
                    index: Int32(truncatingIfNeeded: place)))
        }
        select(&items, goal: goal, before: bracket.before)
    }

    /// Keys between which the goal is reached, from `low` up to but without `high`, and the weights from `high` on: of many
    /// items most need only be weighed.
    private static func bracket(
        _ keys: [Float], _ weights: [Float], reaching goal: Double
    ) -> (low: Float, high: Float, before: Double) {
        var (low, high, before) = (-Float.infinity, Float.infinity, 0.0)
        guard keys.count > 64 else { return (low, high, before) }
        keys.withUnsafeBufferPointer { keys in
            weights.withUnsafeBufferPointer { weights in
                let row = LogitRow(keys)
                guard let top = try? row.peak().value else { return }
                // Steps down double until the goal is reached, then halve.
                var (step, place) = (Float(0.25), top)
                for _ in 0..<14 {
                    let next = low > -.infinity ? low + (high - low) / 2 : place - step
                    guard next > low, next < min(high, top) else { break }
                    let mass = row.mass(of: weights, atLeast: next)
                    if mass >= goal {
                        low = next
                        if high == .infinity { high = top.nextUp }
                    } else {
                        (high, before) = (next, mass)
                    }
                    (step, place) = (step * 2, next)
                }
            }
        }
        return (low, high, before)
    }

    /// Expected linear time: a selection whose partitions are weighed instead of counted.
    private mutating func select(_ items: inout [Item], goal: Double, before: Double) {
        items.withUnsafeMutableBufferPointer { items in
            var (low, high, before) = (0, items.count, before)
            while low < high {
                let place = Self.partition(items, low, high)
                var upTo = before
                for item in items[low..<place] { upTo += Double(item.weight) }
                let pivot = items[place]
                if upTo >= goal {
                    high = place
                    continue
                }
                (key, index) = (pivot.key, pivot.index)
                before = upTo + Double(pivot.weight)
                if before >= goal { return }
                low = place + 1
            }
        }
    }

    /// Whether an item stands at or before the cut.
    func keeps(_ key: Float, _ index: UInt32) -> Bool { key > self.key || index <= self.index }

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
