// SPDX-License-Identifier: Apache-2.0
// Which examples go through the model in which step.

/// The order of all examples over all epochs, known before the first step and the same for the same seed.
package struct BatchPlan: Sendable {
    /// For each step, its micro-batches, each a list of example numbers.
    package let steps: [[[Int]]]
    /// Steps of the first epoch.
    package let stepsPerEpoch: Int

    /// Most steps of a run; more is a mistake in num_epochs or max_steps.
    package static let mostSteps = 100_000_000

    /// Plans a run: `maxSteps` steps when given, else `numEpochs` epochs, of which the last may be a part.
    /// - Parameter lengths: tokens of each example; none longer than a micro-batch.
    /// - Throws: `TrainingError` when there is nothing to train on.
    package init(lengths: [Int], settings: TrainingSettings) throws(TrainingError) {
        guard !lengths.isEmpty else {
            throw TrainingError(
                .data, "no example is left to train on; see the counts of dropped rows")
        }
        let limit = settings.maxSteps ?? BatchPlan.mostSteps
        var steps: [[[Int]]] = []
        var firstEpoch = 0
        var epoch = 0
        while steps.count < limit, settings.maxSteps != nil || Double(epoch) < settings.numEpochs {
            var grouped = BatchPlan.epoch(epoch, lengths: lengths, settings: settings)
            if epoch == 0 { firstEpoch = grouped.count }
            if settings.maxSteps == nil {
                let share = min(1, settings.numEpochs - Double(epoch))
                let count = (Double(grouped.count) * share).rounded(.up)
                grouped = Array(grouped.prefix(Int(count)))
            }
            steps += grouped.prefix(limit - steps.count)
            epoch += 1
        }
        self.steps = steps
        stepsPerEpoch = firstEpoch
    }

    /// The steps of one epoch, in an order of its own.
    private static func epoch(
        _ epoch: Int, lengths: [Int], settings: TrainingSettings
    ) -> [[[Int]]] {
        var generator = ShuffleGenerator(seed: settings.seed, stream: UInt64(epoch))
        var order =
            settings.keepsOrder
            ? Array(lengths.indices) : lengths.indices.shuffled(using: &generator)
        if settings.groupsByLength, !settings.samplePacking {
            order = groupedByLength(
                order, lengths: lengths,
                batch: settings.microBatchSize * settings.gradientAccumulationSteps)
        }
        if let rollouts = settings.rollouts {
            // All completions of a step come from one list of prompts, and several steps may be made of them.
            return group(order, rollouts.prompts(settings)).flatMap { prompts in
                Array(repeating: [prompts], count: rollouts.numIterations)
            }
        }
        let micro =
            settings.samplePacking
            ? (settings.packsInOrder ? nextFit : firstFit)(
                order, lengths, settings.microBatchTokens)
            : group(order, settings.microBatchSize)
        return group(micro, settings.gradientAccumulationSteps)
    }

    /// Neighbours of about one length, as transformers has them: megabatches of up to 50 batches are sorted, longest first,
    /// and the longest example of all comes first, so that what does not fit shows at once.
    static func groupedByLength(_ order: [Int], lengths: [Int], batch: Int) -> [Int] {
        let batch = max(batch, 1)
        let batches = max(1, min(order.count / batch / 4, 50))
        var groups = group(order, batches * batch).map { group in
            // Equal lengths keep their order.
            group.enumerated().sorted { a, b in
                let (first, second) = (lengths[a.element], lengths[b.element])
                return first == second ? a.offset < b.offset : first > second
            }.map(\.element)
        }
        let longest = groups.map { lengths[$0[0]] }
        if let most = longest.max(), let index = longest.firstIndex(of: most) {
            let example = groups[index][0]
            groups[index][0] = groups[0][0]
            groups[0][0] = example
        }
        return groups.flatMap(\.self)
    }

    /// Bins that stay open for more examples.
    private static let openBins = 1024

    /// First-fit in arrival order, as Axolotl's multipack; open bins are bounded so that it stays quick.
    static func firstFit(_ order: [Int], _ lengths: [Int], _ capacity: Int) -> [[Int]] {
        var bins: [[Int]] = []
        var room: [Int] = []
        var firstOpen = 0
        for index in order {
            let length = lengths[index]
            while firstOpen < bins.count, room[firstOpen] == 0 { firstOpen += 1 }
            let open = max(firstOpen, bins.count - openBins)..<bins.count
            if let bin = open.first(where: { room[$0] >= length }) {
                bins[bin].append(index)
                room[bin] -= length
            } else {
                bins.append([index])
                room.append(capacity - length)
            }
        }
        return bins
    }

    /// Bins one after the other: one is closed when the next example does not fit, so that the order stays.
    static func nextFit(_ order: [Int], _ lengths: [Int], _ capacity: Int) -> [[Int]] {
        var bins: [[Int]] = []
        var room = 0
        for index in order {
            if bins.isEmpty || room < lengths[index] {
                bins.append([])
                room = capacity
            }
            bins[bins.count - 1].append(index)
            room -= lengths[index]
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
