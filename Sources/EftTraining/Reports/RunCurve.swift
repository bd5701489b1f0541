// SPDX-License-Identifier: Apache-2.0
// A value over the steps of a run, in bounded memory.

/// A curve that is thinned out as it grows: each point is the mean of the same number of values in a row.
struct RunCurve: Sendable, Hashable {
    /// A point of the curve.
    struct Point: Sendable, Hashable {
        /// Steps made; the last one of the values that the point stands for.
        var step: Int
        /// The mean of the values.
        var value: Double
    }

    /// Most points that are kept: more than a chart has room for, and few enough not to count in the plan of a run.
    static let mostPoints = 512

    private var whole: [Point] = []
    /// Values that a whole point stands for.
    private var valuesPerPoint = 1
    /// The sum of values that do not make a whole point yet.
    private var begun = Point(step: 0, value: 0)
    private var begunCount = 0

    /// The last value that was added.
    private(set) var last: Double?
    /// The lowest value that was added.
    private(set) var lowest: Double?

    /// All points in order, the last one perhaps of fewer values.
    var points: [Point] {
        guard begunCount > 0 else { return whole }
        return whole + [Point(step: begun.step, value: begun.value / Double(begunCount))]
    }

    /// Adds a value; one that is no finite number is left out.
    mutating func add(step: Int, _ value: Double) {
        guard value.isFinite else { return }
        last = value
        lowest = min(lowest ?? value, value)
        begun = Point(step: step, value: begun.value + value)
        begunCount += 1
        guard begunCount >= valuesPerPoint else { return }
        whole.append(Point(step: step, value: begun.value / Double(begunCount)))
        begun = Point(step: step, value: 0)
        begunCount = 0
        if whole.count >= RunCurve.mostPoints { thin() }
    }

    /// Joins each two points to one.
    private mutating func thin() {
        for place in 0..<whole.count / 2 {
            let (a, b) = (whole[2 * place], whole[2 * place + 1])
            whole[place] = Point(step: b.step, value: a.value / 2 + b.value / 2)
        }
        whole.removeLast(whole.count - whole.count / 2)
        valuesPerPoint *= 2
    }
}

/// A running mean in which a value counts a tenth less with each one that follows.
package struct SmoothedValue: Sendable, Hashable {
    private static let decay = 0.9
    private var sum = 0.0
    private var weight = 0.0

    /// Begins without values.
    package init() {}

    /// The mean; nil before the first value.
    package var value: Double? { weight > 0 ? sum / weight : nil }

    /// Takes a value; one that is no finite number is left out.
    package mutating func add(_ value: Double) {
        guard value.isFinite else { return }
        sum = SmoothedValue.decay * sum + (1 - SmoothedValue.decay) * value
        weight = SmoothedValue.decay * weight + (1 - SmoothedValue.decay)
    }
}
