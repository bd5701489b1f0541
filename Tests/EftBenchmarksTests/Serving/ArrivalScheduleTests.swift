// SPDX-License-Identifier: Apache-2.0
// Requests come at the rate that was asked for, the same ones for a seed.
import EftBenchmarks
import Testing

@Suite struct ArrivalScheduleTests {
    @Test func `without a rate all come at once`() {
        #expect(ArrivalSchedule.times(4, rate: nil) == [0, 0, 0, 0])
        #expect(ArrivalSchedule.times(0, rate: 5).isEmpty)
    }

    @Test(arguments: [0.25, 1, 3, 1e5])
    func `gaps have the shape's spread`(shape: Double) {
        let count = 20000
        let times = ArrivalSchedule.times(count, rate: 8, burstiness: shape, seed: 5)
        #expect(times == ArrivalSchedule.times(count, rate: 8, burstiness: shape, seed: 5))
        #expect(times != ArrivalSchedule.times(count, rate: 8, burstiness: shape, seed: 6))
        #expect(abs(times[count - 1] - Double(count) / 8) < 1e-6)
        #expect(zip(times, times.dropFirst()).allSatisfy { $0 <= $1 })
        let gaps = Statistics(zip([0] + times, times).map { $1 - $0 })
        #expect(abs(gaps.mean - 0.125) < 1e-9)
        // A gamma distribution's variance is its squared mean divided by the shape.
        let variance = gaps.deviation * gaps.deviation * 64
        #expect(abs(variance * shape - 1) < 0.12, "\(variance)")
        // Of a Poisson process, 1 - 1/e of all gaps are below the mean.
        if shape == 1 {
            let short = zip([0] + times, times).filter { $1 - $0 < 0.125 }.count
            #expect(abs(Double(short) / Double(count) - 0.632) < 0.02)
        }
    }
}
