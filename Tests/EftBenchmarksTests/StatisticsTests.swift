// SPDX-License-Identifier: Apache-2.0
// Percentiles and spreads are numpy's.
import EftBenchmarks
import Testing

@Suite struct StatisticsTests {
    @Test func `percentiles interpolate between neighbours`() {
        let statistics = Statistics([15, 20, 35, 40, 50])
        // numpy.percentile([15, 20, 35, 40, 50], ...).
        for (percent, expected) in [
            (0.0, 15.0), (10, 17), (25, 20), (40, 29), (50, 35), (90, 46), (99, 49.6),
            (99.9, 49.96), (100, 50),
        ] {
            #expect(abs(statistics.percentile(percent) - expected) < 1e-12, "\(percent)")
        }
        #expect(statistics.mean == 32 && statistics.median == 35)
        // numpy.std: the whole population's.
        #expect(abs(statistics.deviation - 12.884098726725126) < 1e-12)
    }

    @Test func `nothing is zero, and one number is all of itself`() {
        let none = Statistics([])
        #expect(none.mean == 0 && none.median == 0 && none.deviation == 0)
        let one = Statistics([7])
        #expect(one.mean == 7 && one.percentile(99) == 7 && one.deviation == 0)
        #expect(one.percentile(.nan) == 7)
    }
}
