// SPDX-License-Identifier: Apache-2.0
import EftTraining
import Testing

@Suite struct BatchPlanTests {
    private func settings(_ change: (inout TrainingSettings) -> Void) -> TrainingSettings {
        var settings = TrainingSettings()
        settings.sequenceLen = 64
        change(&settings)
        return settings
    }

    /// Lengths from 1 to 64 that look random.
    private func lengths(_ count: Int) -> [Int] { (0..<count).map { 1 + $0 * 2_654_435_761 % 64 } }

    @Test(arguments: [1, 2, 63, 64, 65, 1000], [1, 3])
    func `packing holds every example once and no bin too full`(_ count: Int, _ micro: Int) throws {
        let lengths = lengths(count)
        let plan = try BatchPlan(
            lengths: lengths,
            settings: settings {
                $0.samplePacking = true
                $0.microBatchSize = micro
            })
        let bins = plan.steps.joined()
        #expect(bins.joined().sorted() == Array(0..<count))
        for bin in bins { #expect(bin.reduce(0) { $0 + lengths[$1] } <= 64 * micro) }
        // First-fit leaves no two bins that would fit in one.
        let filled = bins.map { $0.reduce(0) { $0 + lengths[$1] } }.sorted()
        if filled.count > 1 { #expect(filled[0] + filled[1] > 64 * micro) }
    }

    @Test(arguments: [1, 2, 64, 1000], [true, false])
    func `packing in order keeps the order of a curriculum`(_ count: Int, _ keeps: Bool) throws {
        let lengths = lengths(count)
        let plan = try BatchPlan(
            lengths: lengths,
            settings: settings {
                $0.samplePacking = true
                $0.packsInOrder = true
                $0.keepsOrder = keeps
                $0.numEpochs = 2
            })
        let bins = plan.steps.joined()
        let order = Array(bins.joined())
        #expect(Array(order[..<count]).sorted() == Array(0..<count))
        if keeps { #expect(order == Array(0..<count) + Array(0..<count)) }
        for (bin, next) in zip(bins, bins.dropFirst()) {
            let filled = bin.reduce(0) { $0 + lengths[$1] }
            #expect(filled <= 64)
            // A bin is closed only when the next example does not fit, or the epoch ends.
            let isLast = next[0] == order[count] && bin.contains(order[count - 1])
            #expect(isLast || filled + lengths[next[0]] > 64)
        }
    }

    @Test func `a curriculum goes through the examples in their order`() throws {
        let plan = try BatchPlan(
            lengths: lengths(10),
            settings: settings {
                $0.keepsOrder = true; $0.numEpochs = 2
            })
        #expect(Array(plan.steps.joined().joined()) == Array(0..<10) + Array(0..<10))
    }

    @Test(arguments: [(10, 2, 1, 5), (10, 3, 1, 4), (10, 2, 2, 3), (1, 4, 4, 1)])
    func `an epoch has as many steps as the batches ask for`(
        _ count: Int, _ micro: Int, _ accumulation: Int, _ expected: Int
    ) throws {
        let plan = try BatchPlan(
            lengths: lengths(count),
            settings: settings {
                $0.microBatchSize = micro
                $0.gradientAccumulationSteps = accumulation
            })
        #expect(plan.steps.count == expected)
        #expect(plan.stepsPerEpoch == expected)
        #expect(plan.steps.joined().joined().sorted() == Array(0..<count))
    }

    @Test func `each epoch has an order of its own, the same for the same seed`() throws {
        func order(_ seed: UInt64) throws -> [Int] {
            let plan = try BatchPlan(
                lengths: lengths(40),
                settings: settings {
                    $0.numEpochs = 3
                    $0.seed = seed
                })
            return Array(plan.steps.joined().joined())
        }
        let first = try order(42)
        #expect(first.count == 120)
        #expect(Set([first[0..<40], first[40..<80], first[80..<120]].map(Array.init)).count == 3)
        #expect(first[40..<80].sorted() == Array(0..<40))
        #expect(try order(42) == first)
        #expect(try order(43) != first)
    }

    @Test(
        arguments: [(0.5, nil, 5), (1.5, nil, 15), (1.0, 3, 3), (1.0, 25, 25), (0.01, nil, 1)]
            as [(Double, Int?, Int)])
    func `fractions of epochs and max_steps bound the run`(
        _ epochs: Double, _ most: Int?, _ expected: Int
    ) throws {
        let plan = try BatchPlan(
            lengths: lengths(10),
            settings: settings {
                $0.numEpochs = epochs
                $0.maxSteps = most
            })
        #expect(plan.steps.count == expected)
    }

    @Test func `no data is an error`() {
        #expect(throws: TrainingError.self) {
            try BatchPlan(lengths: [], settings: TrainingSettings())
        }
    }
}
