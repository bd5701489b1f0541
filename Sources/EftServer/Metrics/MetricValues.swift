// SPDX-License-Identifier: Apache-2.0
// Numbers that any thread may change.
import Synchronization

/// A real number that is added to without a lock.
package final class AtomicReal: Sendable {
    private let bits = Atomic<UInt64>(0)

    /// Zero.
    package init() {}

    /// The number.
    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    /// Replaces the number.
    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    /// Adds to the number.
    package func add(_ amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (isDone, found) = bits.weakCompareExchange(
                expected: old, desired: new, ordering: .relaxed)
            if isDone { return }
            old = found
        }
    }
}

/// A number that only grows.
package final class Counter: Sendable {
    let number = AtomicReal()
    let created = UnixTime.now

    init() {}

    /// Adds to the count; amounts that are not numbers above zero are passed over.
    package func add(_ amount: Double = 1) {
        if amount > 0, amount.isFinite { number.add(amount) }
    }

    /// Adds to the count.
    package func add(_ amount: Int) { add(Double(amount)) }

    /// The count.
    package var value: Double { number.value }
}

/// A number that goes up and down.
package final class Gauge: Sendable {
    private let number = AtomicReal()

    init() {}

    /// Replaces the number.
    package func set(_ value: Double) { number.set(value) }

    /// Adds to the number.
    package func add(_ amount: Double) { number.add(amount) }

    /// The number.
    package var value: Double { number.value }
}

/// How many values fell under each of some bounds.
package final class Histogram: Sendable {
    struct State {
        /// Values in each bucket alone, the last one without a bound.
        var counts: [UInt64]
        var sum = 0.0
    }

    let bounds: [Double]
    let created = UnixTime.now
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: [UInt64](repeating: 0, count: bounds.count + 1)))
    }

    /// Counts a value `count` times; what is not a number is passed over.
    package func observe(_ value: Double, count: Int = 1) {
        guard !value.isNaN, count > 0 else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += UInt64(count)
            state.sum += value * Double(count)
        }
    }

    /// Values counted.
    package var count: UInt64 { snapshot.counts.reduce(0, +) }

    /// The sum of all values.
    package var sum: Double { snapshot.sum }

    var snapshot: State { state.withLock { $0 } }
}

/// How many values there were, and their sum.
package final class Summary: Sendable {
    let created = UnixTime.now
    private let state = Mutex((count: 0.0, sum: 0.0))

    init() {}

    /// Counts a value.
    package func observe(_ value: Double) {
        guard !value.isNaN else { return }
        state.withLock { state in
            state.count += 1
            state.sum += value
        }
    }

    var snapshot: (count: Double, sum: Double) { state.withLock { $0 } }
}
