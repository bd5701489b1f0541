// SPDX-License-Identifier: Apache-2.0
import EftTraining
import Testing

@Suite struct ScheduleTests {
    private func schedule(
        total: Int, _ change: (inout TrainingSettings) -> Void
    ) -> LearningRateSchedule {
        var settings = TrainingSettings()
        settings.learningRate = 1
        change(&settings)
        return LearningRateSchedule(settings, total: total)
    }

    @Test(arguments: [
        (0, 0.0), (1, 0.1), (5, 0.5), (10, 1.0), (55, 0.5), (100, 0.0),
        // 0.5 * (1 + cos(pi / 6)) and 0.5 * (1 + cos(pi * 2 / 3)).
        (25, 0.9330127018922193), (70, 0.25),
    ])
    func `cosine rises in the warm-up and falls to zero`(_ step: Int, _ expected: Double) {
        let schedule = schedule(total: 100) { $0.warmupSteps = 10 }
        #expect(abs(schedule.rate(step: step) - expected) < 1e-12)
    }

    @Test(
        arguments: [
            // Axolotl's default: 3 % of the steps, at most 100, and never a single one.
            (nil, nil, 100, 3), (nil, nil, 10000, 100), (nil, nil, 40, 2), (nil, nil, 20, 0),
            (nil, 0.1, 100, 10), (nil, 0.1, 19, 2), (nil, 0.1, 99, 9), (7, nil, 10, 7),
            (1, nil, 10, 2),
            (0, nil, 100, 0),
        ] as [(Int?, Double?, Int, Int)])
    func `warm-up is counted as Axolotl counts it`(
        _ steps: Int?, _ ratio: Double?, _ total: Int, _ expected: Int
    ) {
        let schedule = schedule(total: total) {
            $0.warmupSteps = steps
            $0.warmupRatio = ratio
        }
        #expect(schedule.warmup == expected)
    }

    @Test func `constant schedules stay at the peak`() {
        let plain = schedule(total: 10) {
            $0.schedule = .constant
            $0.warmupSteps = 4
        }
        #expect((0..<10).map { plain.rate(step: $0) } == Array(repeating: 1, count: 10))
        let warm = schedule(total: 10) {
            $0.schedule = .constantWithWarmup
            $0.warmupSteps = 4
        }
        #expect((0..<6).map { warm.rate(step: $0) } == [0, 0.25, 0.5, 0.75, 1, 1])
    }

    @Test func `linear falls to zero`() {
        let schedule = schedule(total: 12) {
            $0.schedule = .linear
            $0.warmupSteps = 2
        }
        #expect(schedule.rate(step: 7) == 0.5)
        #expect(schedule.rate(step: 12) == 0)
    }

    @Test func `a least rate and a constant end bend the cosine`() {
        let schedule = schedule(total: 100) {
            $0.warmupSteps = 0
            $0.cosineMinLRRatio = 0.2
            $0.cosineConstantLRRatio = 0.5
        }
        #expect(abs(schedule.rate(step: 25) - 0.6) < 1e-12)
        #expect(abs(schedule.rate(step: 50) - 0.2) < 1e-12)
        #expect(abs(schedule.rate(step: 80) - 0.2) < 1e-12)
    }
}
