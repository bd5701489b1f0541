// SPDX-License-Identifier: Apache-2.0
// Answers that go through the model together.
import EftModels
import EftNN

#if canImport(Glibc)
    import Glibc
#endif

/// The sequences of a micro-batch of preferences: of pairs chosen and rejected in turn.
struct PreferenceBatch {
    /// Sequences with the tokens that count in them.
    let sequences: [TrainingExample]
    /// Whether each answer is desirable; of pairs the chosen ones are.
    let desirable: [Bool]
    /// Whether the prompts of chosen answers count in their own loss.
    private let learnsPrompts: Bool

    /// Rows of the batch in which a sequence's answer is predicted, and those of its own loss.
    private struct Rows {
        var answer: [Int] = []
        var own: [Int] = []
    }

    private let rows: [Rows]
    private let labels: [Int32]

    init(_ examples: [TrainingExample], learnsPrompts: Bool = false) {
        var (sequences, desirable): ([TrainingExample], [Bool]) = ([], [])
        for example in examples {
            sequences.append(TrainingExample(tokens: example.tokens, labels: example.labels))
            if case .desirable(let isGood)? = example.preference {
                desirable.append(isGood)
                continue
            }
            desirable.append(true)
            if let rejected = example.rejected {
                sequences.append(rejected)
                desirable.append(false)
            }
        }
        self.init(sequences, desirable: desirable, learnsPrompts: learnsPrompts)
    }

    private init(_ sequences: [TrainingExample], desirable: [Bool], learnsPrompts: Bool) {
        self.sequences = sequences
        self.desirable = desirable
        self.learnsPrompts = learnsPrompts
        var labels: [Int32] = []
        var rows: [Rows] = []
        for (sequence, isGood) in zip(sequences, desirable) {
            var own = Rows()
            for place in sequence.tokens.indices {
                guard place + 1 < sequence.tokens.count else {
                    labels.append(TrainingExample.ignoreIndex)
                    continue
                }
                let isAnswer = sequence.labels[place + 1] >= 0
                if isAnswer { own.answer.append(labels.count) }
                if isGood, isAnswer || learnsPrompts { own.own.append(labels.count) }
                labels.append(
                    isAnswer || (isGood && learnsPrompts)
                        ? sequence.tokens[place + 1] : TrainingExample.ignoreIndex)
            }
            rows.append(own)
        }
        self.labels = labels
        self.rows = rows
    }

    /// Each prompt with the answer to the one before, the first with that to the last.
    var mismatched: PreferenceBatch {
        let parts = sequences.map { sequence in
            let count = sequence.labels.firstIndex { $0 >= 0 } ?? sequence.tokens.count
            return (prompt: sequence.tokens[..<count], answer: sequence.tokens[count...])
        }
        let mixed = parts.indices.map { index in
            let answer = parts[(index + parts.count - 1) % parts.count].answer
            let ignored = [Int32](
                repeating: TrainingExample.ignoreIndex, count: parts[index].prompt.count)
            return TrainingExample(
                tokens: Array(parts[index].prompt + answer), labels: ignored + answer)
        }
        return PreferenceBatch(mixed, desirable: desirable, learnsPrompts: false)
    }

    /// The batch for a pass with some adapters.
    func rows(
        slots: [Int], dropoutSeed: UInt64? = nil, embeddingNoise: Float = 0
    ) -> TrainingRows {
        TrainingRows(
            DecoderBatch(sequences: sequences.map(\.tokens), slots: slots), labels: labels,
            dropoutSeed: dropoutSeed, embeddingNoise: embeddingNoise)
    }

    /// Tokens that go through the model.
    var tokenCount: Int { labels.count }
    /// Tokens of answers.
    var answerTokens: Int { rows.reduce(0) { $0 + $1.answer.count } }

    /// The log-probabilities of the answers.
    func scores(_ losses: RowLosses) -> [AnswerScore] {
        rows.map { rows in
            func sum(_ losses: [Float]) -> Double {
                rows.answer.reduce(0.0) { $0 + Double(losses[$1]) }
            }
            var score = AnswerScore(sum: -sum(losses.plain), tokens: rows.answer.count)
            // Zhou et al. 2024: the mean of log p(token) - log(sum of p^2). Logits twice as large give the log of p^2 over that sum.
            if !losses.sharper.isEmpty {
                let aligned = sum(losses.plain) - sum(losses.sharper)
                score.weight = exp(aligned / Double(max(score.tokens, 1)))
            }
            return score
        }
    }

    /// The mean loss of the tokens of chosen answers, with their prompts where these are learned.
    func chosenLoss(_ losses: [Float]) -> Double {
        let own = rows.flatMap(\.own)
        return own.reduce(0.0) { $0 + Double(losses[$1]) } / Double(max(own.count, 1))
    }

    /// What each row's loss counts times.
    /// - Parameter weight: the micro-batch's share of the step.
    func scales(_ outcome: PreferenceOutcome, weight: Double) -> [Float] {
        var scales = [Float](repeating: 0, count: labels.count)
        let own = rows.reduce(0) { $0 + $1.own.count }
        for (rows, gradient) in zip(rows, outcome.gradients) {
            for row in rows.answer { scales[row] -= Float(weight * gradient) }
            for row in rows.own where outcome.chosenWeight != 0 {
                scales[row] += Float(weight * outcome.chosenWeight / Double(max(own, 1)))
            }
        }
        return scales
    }
}
