// SPDX-License-Identifier: Apache-2.0
// Completions that go through the model together.
import EftModels
import EftNN

/// A micro-batch of completions behind their prompts.
struct CompletionBatch {
    private let rollouts: ArraySlice<RolloutObjective.Rollout>
    private let sequences: [[Int32]]
    private let labels: [Int32]
    /// The rows at which the tokens of each completion are predicted.
    private let places: [Range<Int>]

    init(_ rollouts: ArraySlice<RolloutObjective.Rollout>) {
        self.rollouts = rollouts
        sequences = rollouts.map { $0.prompt + $0.completion.tokens }
        var (labels, places) = ([Int32](), [Range<Int>]())
        for rollout in rollouts {
            let ignored = [Int32](
                repeating: TrainingExample.ignoreIndex, count: max(rollout.prompt.count - 1, 0))
            let first = labels.count + ignored.count
            places.append(first..<first + rollout.completion.tokens.count)
            labels += ignored + rollout.completion.tokens + [TrainingExample.ignoreIndex]
        }
        (self.labels, self.places) = (labels, places)
    }

    /// The batch for a pass with some adapters, at the temperature with which it was sampled.
    func rows(
        slots: [Int], temperature: Float, dropoutSeed: UInt64? = nil, embeddingNoise: Float = 0
    ) -> TrainingRows {
        TrainingRows(
            DecoderBatch(sequences: sequences, slots: slots), labels: labels,
            dropoutSeed: dropoutSeed, embeddingNoise: embeddingNoise, temperature: temperature)
    }

    /// Tokens that go through the model.
    var tokenCount: Int { labels.count }
    /// Tokens of completions.
    var completionTokens: Int { places.reduce(0) { $0 + $1.count } }

    /// Log-probabilities of the tokens of each completion.
    func logProbabilities(_ losses: [Float]) -> [[Double]] {
        places.map { rows in losses[rows].map { -Double($0) } }
    }

    /// The completions with what the model says of them.
    func completions(_ losses: [Float]) -> [PolicyLoss.Completion] {
        zip(rollouts, logProbabilities(losses)).map { rollout, current in
            PolicyLoss.Completion(
                current: current, old: rollout.old, reference: rollout.reference,
                advantage: rollout.advantage, isMasked: rollout.isMasked)
        }
    }

    /// What each row's loss counts times.
    func scales(_ outcome: PolicyLoss.Outcome) -> [Float] {
        var scales = [Float](repeating: 0, count: labels.count)
        for (rows, slopes) in zip(places, outcome.slopes) {
            for (row, slope) in zip(rows, slopes) { scales[row] = -Float(slope) }
        }
        return scales
    }
}
