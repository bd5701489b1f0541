// SPDX-License-Identifier: Apache-2.0
// Which examples go through the model in which step.

/// The order of all examples over all epochs, known before the first step and the same for the same seed.
package struct BatchPlan: Sendable {
    /// For each step, its micro-batches, each a list of example numbers.
    package let steps: [[[Int]]]
    /// For each step, the epoch that it belongs to, from 0.
    package let epochs: [Int]
    /// Steps of the first epoch.
    package let stepsPerEpoch: Int

    /// Plans a run.
    /// - Parameter lengths: tokens of each example; none longer than a micro-batch.
    /// - Throws: `TrainingError` when there is nothing to train on.
    package init(lengths: [Int], settings: TrainingSettings) throws(TrainingError) {
        guard !lengths.isEmpty else {
            throw TrainingError(.data, "no example is left to train on; see the counts of dropped rows")
        }
        var steps: [[[Int]]] = []
        var epochs: [Int] = []
        var firstEpoch = 0
        let whole = Int(settings.numEpochs.rounded(.up))
        for epoch in 0..<max(whole, 1) {
            var generator = ShuffleGenerator(seed: settings.seed &+ UInt64(epoch))
            let order = lengths.indices.shuffled(using: &generator)
            let micro = BatchPlan.microBatches(order, lengths: lengths, settings: settings)
            var grouped = BatchPlan.group(micro, settings.gradientAccumulationSteps)
            if epoch == 0 { firstEpoch = grouped.count }
            // The last epoch may be a fraction of one.
            let share = min(1, settings.numEpochs - Double(epoch))
            let count = Int((Double(grouped.count) * share).rounded(.up))
            grouped.removeLast(grouped.count - max(count, epoch == 0 ? 1 : 0))
            steps += grouped
            epochs += grouped.map { _ in epoch }
        }
        if let most = settings.maxSteps {
            // More steps than the epochs give: the epochs are gone through again.
            let once = steps
            while steps.count < most {
                let last = epochs.last ?? 0
                steps += once
                epochs += epochs.prefix(once.count).map { $0 + last + 1 }
            }
            steps = Array(steps.prefix(most))
            epochs = Array(epochs.prefix(most))
        }
        self.steps = steps
        self.epochs = epochs
        stepsPerEpoch = firstEpoch
    }

    /// Micro-batches of one epoch: bins of tokens when packing, else a fixed number of examples.
    private static func microBatches(
        _ order: [Int], lengths: [Int], settings: TrainingSettings
    ) -> [[Int]] {
        guard settings.samplePacking else { return group(order, settings.microBatchSize) }
        return firstFit(order, lengths: lengths, capacity: settings.microBatchTokens)
    }

    /// First-fit in arrival order, as Axolotl's multipack; open bins are bounded so that it stays quick.
    static func firstFit(_ order: [Int], lengths: [Int], capacity: Int) -> [[Int]] {
        var bins: [[Int]] = []
        var room: [Int] = []
        var firstOpen = 0
        for index in order {
            let length = lengths[index]
            while firstOpen < bins.count, room[firstOpen] == 0 { firstOpen += 1 }
            let fit = (max(firstOpen, bins.count - 1024)..<bins.count).first { room[$0] >= length }
            if let bin = fit {
                bins[bin].append(index)
                room[bin] -= length
            } else {
                bins.append([index])
                room.append(capacity - length)
            }
        }
        return bins
    }

    private static func group<T>(_ items: [T], _ size: Int) -> [[T]] {
        stride(from: 0, to: items.count, by: max(size, 1)).map { first in
            Array(items[first..<min(first + max(size, 1), items.count)])
        }
    }

    /// Most examples of a micro-batch.
    package var mostExamples: Int { steps.joined().map(\.count).max() ?? 0 }
}

/// Random numbers for shuffling, the same for the same seed everywhere (SplitMix64).
struct ShuffleGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
