// SPDX-License-Identifier: Apache-2.0
// Learning to reward one answer above another.
import EftModels

/// The mean loss of pairs of each micro-batch, and the mean of these over a step, as TRL has it.
struct RewardObjective: TrainingObjective {
    let settings: ScoreSettings
    let train: [TrainingExample]
    let validation: [TrainingExample]
    /// The adapter that is trained and those that act beside it.
    let slots: [Int]
    /// Seeds dropout and noise.
    let seed: UInt64
    /// The token that fills up rows.
    let padID: Int32?
    /// How much noise is added to embeddings.
    var embeddingNoise: Float = 0

    private var loss: RewardLoss { RewardLoss(centering: settings.centering) }

    private func batch(_ indices: [Int], _ examples: [TrainingExample]) -> ScoredBatch {
        ScoredBatch(
            indices.flatMap { index in
                [examples[index].tokens, examples[index].rejected?.tokens ?? []]
            }, padID: padID)
    }

    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        var result = StepResult()
        var sum = RewardSum()
        let weight = 1 / Double(max(batches.count, 1))
        for (index, indices) in batches.enumerated() {
            try pause()
            let batch = batch(indices, train)
            let rows = batch.rows(
                slots: slots, dropoutSeed: mixedSeed(seed, UInt64(step), UInt64(index)),
                embeddingNoise: embeddingNoise)
            try pass.run(rows, rows: batch.rows) { values in
                let outcome = loss.pairs(values.map(Double.init))
                result.loss += weight * outcome.loss
                sum.add(outcome.report, examples: indices.count)
                return outcome.slopes.map { Float(weight * $0) }
            }
            result.tokens += batch.tokenCount
            result.trainedTokens += batch.tokenCount
        }
        result.rewards = sum.report
        return result
    }

    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult {
        var result = EvaluationResult()
        var sum = RewardSum()
        for indices in bins {
            try pause()
            let batch = batch(indices, validation)
            let values = try pass.values(batch.rows(slots: slots), rows: batch.rows)
            let outcome = loss.pairs(values.map(Double.init))
            result.loss +=
                outcome.loss * Double(indices.count) / Double(max(validation.count, 1))
            result.tokens += batch.tokenCount
            sum.add(outcome.report, examples: indices.count)
        }
        result.rewards = sum.report
        return result
    }
}
