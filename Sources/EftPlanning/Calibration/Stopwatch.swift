// SPDX-License-Identifier: Apache-2.0
// Timing that can be trusted on a shared machine: repeat, take the median or the best.
import EftTensor

/// Times work.
package enum Stopwatch {
    /// Seconds that `body` takes.
    package static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start).seconds
    }

    /// The shortest of several timings after one that does not count: what a machine can do when nothing disturbs it.
    package static func best(_ repeats: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        var least = Double.infinity
        for _ in 0..<max(repeats, 1) { least = min(least, try seconds(body)) }
        return least
    }

    /// The median of several timings after one that does not count.
    package static func median(_ repeats: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        var times: [Double] = []
        for _ in 0..<max(repeats, 1) { times.append(try seconds(body)) }
        return times.sorted()[times.count / 2]
    }

    /// The shortest of several timings after one that does not count, as many as begin within some seconds, at least
    /// two: a calibration's share of time is bounded also where work is slow.
    package static func best(
        within seconds: Double, _ body: () throws -> Void
    ) rethrows -> Double {
        try body()
        let start = ContinuousClock.now
        var least = Double.infinity
        var repeats = 0
        while repeats < 2 || (ContinuousClock.now - start).seconds < seconds {
            least = min(least, try self.seconds(body))
            repeats += 1
        }
        return least
    }
}
