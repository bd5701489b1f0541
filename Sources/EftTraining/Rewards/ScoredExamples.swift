// SPDX-License-Identifier: Apache-2.0
// Examples that a trained model scores, and what its scores come to.
import EftConfig
import EftModels

/// Texts, pairs of texts or answers in steps, as sequences with the places at which they are scored.
package struct ScoredExamples: Sendable {
    /// The sequences: of pairs both texts.
    package let sequences: [[Int32]]
    /// The places of each sequence's scores.
    package let places: [[Int]]
    private let examples: [TrainingExample]
    private let head: ScoreHead
    /// The first sequence of each example.
    private let starts: [Int]

    /// What scores come to.
    package struct Summary: Sendable, Hashable {
        /// The mean loss of pairs, or of the labels of steps.
        package let loss: Double
        /// Mean rewards, and the share that is right.
        package let rewards: RewardReport
        /// Pairs, or labels.
        package let count: Int
    }

    /// Takes examples.
    /// - Parameter padID: the token that fills up rows.
    package init(_ examples: [TrainingExample], head: ScoreHead, padID: Int32?) {
        self.examples = examples
        self.head = head
        var (sequences, places, starts) = ([[Int32]](), [[Int]](), [Int]())
        for example in examples {
            starts.append(sequences.count)
            let parts = [example] + (example.rejected.map { [$0] } ?? [])
            for part in parts {
                sequences.append(part.tokens)
                places.append(
                    head.kind == .text
                        ? [ScoredBatch.place(in: part.tokens, padID: padID)]
                        : part.labels.indices.filter { part.labels[$0] >= 0 })
            }
        }
        (self.sequences, self.places, self.starts) = (sequences, places, starts)
    }

    /// The scores of each example by their names.
    /// - Parameter values: of each sequence, `[places][labels]`.
    package func nodes(_ values: [[Float]]) -> [ConfigObject] {
        func number(_ value: Float) -> ConfigNode { ConfigNode(Double(value)) }
        func list(_ values: some Sequence<Float>) -> ConfigNode {
            ConfigNode(.array(values.map(number)))
        }
        func text(_ values: [Float]) -> ConfigNode {
            values.count == 1 ? number(values[0]) : list(values)
        }
        return zip(examples, starts).map { example, start in
            guard head.kind == .text else {
                let scores = values[start]
                let steps = stride(from: 0, to: scores.count, by: head.labels)
                    .map { list(scores[$0..<$0 + head.labels]) }
                return ["scores": ConfigNode(.array(steps))]
            }
            guard example.rejected != nil else { return ["score": text(values[start])] }
            return ["chosen": text(values[start]), "rejected": text(values[start + 1])]
        }
    }

    /// What scores come to; nil where nothing is said of what they should be.
    /// - Parameters:
    ///   - values: of each sequence, `[places][labels]`.
    ///   - centering: the weight of the squared sum of both rewards of a pair.
    package func summary(_ values: [[Float]], centering: Double = 0) -> Summary? {
        if head.kind == .tokens { return steps(values) }
        guard head.labels == 1 else { return nil }
        let rewards = zip(examples, starts).flatMap { example, start in
            example.rejected == nil
                ? [] : [Double(values[start][0]), Double(values[start + 1][0])]
        }
        guard !rewards.isEmpty else { return nil }
        let outcome = RewardLoss(centering: centering).pairs(rewards)
        return Summary(loss: outcome.loss, rewards: outcome.report, count: rewards.count / 2)
    }

    private func steps(_ values: [[Float]]) -> Summary? {
        var sum = StepSum()
        for (sequence, example) in zip(values, examples) {
            let labels = example.labels.filter { $0 >= 0 }
            for (place, label) in labels.enumerated() {
                sum.add(sequence[place * head.labels..<(place + 1) * head.labels], Int(label))
            }
        }
        guard sum.count > 0 else { return nil }
        return Summary(
            loss: sum.loss, rewards: RewardReport(accuracy: sum.accuracy), count: sum.count)
    }
}
