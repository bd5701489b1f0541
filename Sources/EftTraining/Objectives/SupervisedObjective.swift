// SPDX-License-Identifier: Apache-2.0
// Learning the tokens of examples.
import EftModels

/// The mean cross entropy of all learned tokens of a step's micro-batches together, so that it does not depend on how
/// examples are spread over them (`num_items_in_batch` of the Hugging Face trainer).
struct SupervisedObjective: TrainingObjective {
    let train: [TrainingExample]
    let validation: [TrainingExample]
    /// The adapter that is trained and those that act beside it.
    let slots: [Int]
    /// Seeds dropout and noise.
    let seed: UInt64
    /// How much noise is added to embeddings.
    var embeddingNoise: Float = 0
    /// The share of what is wanted that all tokens have in equal parts.
    var labelSmoothing: Float = 0
    /// Whether a label is the token behind its own, and not about that.
    var predictsNext = true

    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        let batches = batches.map {
            MicroBatch($0.map { train[$0] }, slots: slots, predictsNext: predictsNext)
        }
        var result = StepResult()
        result.trainedTokens = batches.reduce(0) { $0 + $1.trainedTokens }
        guard result.trainedTokens > 0 else { return result }
        var sum = 0.0
        for first in stride(from: 0, to: batches.count, by: pass.joined) {
            try pause()
            let group = batches[first..<min(first + pass.joined, batches.count)]
            let rows = group.indices.map { index in
                TrainingRows(
                    batches[index].batch, labels: batches[index].labels,
                    dropoutSeed: mixedSeed(seed, UInt64(step), UInt64(index)),
                    embeddingNoise: embeddingNoise, labelSmoothing: labelSmoothing)
            }
            let losses = try pass.run(rows, gradientScale: 1 / Float(result.trainedTokens))
            for micro in losses { sum += micro.reduce(0) { $0 + Double($1) } }
            result.tokens += group.reduce(0) { $0 + $1.batch.count }
        }
        result.loss = sum / Double(result.trainedTokens)
        return result
    }

    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult {
        var (sum, tokens) = (0.0, 0)
        for first in stride(from: 0, to: bins.count, by: pass.joined) {
            try pause()
            let group = bins[first..<min(first + pass.joined, bins.count)]
                .map { bin in MicroBatch(bin.map { validation[$0] }, slots: slots) }
            let losses = try pass.run(
                group.map {
                    TrainingRows($0.batch, labels: $0.labels, labelSmoothing: labelSmoothing)
                }, gradientScale: 0)
            for micro in losses { sum += micro.reduce(0) { $0 + Double($1) } }
            tokens += group.reduce(0) { $0 + $1.trainedTokens }
        }
        return EvaluationResult(loss: tokens > 0 ? sum / Double(tokens) : 0, tokens: tokens)
    }
}
