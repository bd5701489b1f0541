// SPDX-License-Identifier: Apache-2.0
// Learning from preferences.
import EftModels

/// The mean loss of pairs or answers of each micro-batch, and the mean of these over a step, as TRL has it.
///
/// The reference is the model with the trained adapter off, so that there is no second copy. What it says of an example
/// is kept: each example goes through it once. A fully trained model has no such reference; what it says before the first
/// step is kept instead, for KTO also of the answers to other prompts in each micro-batch of the run.
final class PreferenceObjective: TrainingObjective {
    private let settings: PreferenceSettings
    private let loss: PreferenceLoss
    private let slots: [Int]
    private let seed: UInt64
    private let embeddingNoise: Float
    private let train: Answers
    private let validation: Answers

    /// Examples, and what the reference says of the answers of each; empty while that is not known.
    private final class Answers {
        let examples: [TrainingExample]
        var references: [[Double]]
        /// What the reference says of an answer to the prompt of another example, as far as it was asked before.
        var mismatched: [Mismatch: Double] = [:]

        init(_ examples: [TrainingExample]) {
            self.examples = examples
            references = [[Double]](repeating: [], count: examples.count)
        }
    }

    /// The prompt of one example with the answer of another.
    private struct Mismatch: Hashable {
        let prompt: Int32
        let answer: Int32

        init(prompt: Int, answer: Int) {
            self.prompt = Int32(truncatingIfNeeded: prompt)
            self.answer = Int32(truncatingIfNeeded: answer)
        }

        /// Those of a micro-batch, in the order of `PreferenceBatch.mismatched`.
        static func all(_ indices: [Int]) -> [Mismatch] {
            indices.indices.map {
                Mismatch(
                    prompt: indices[$0],
                    answer: indices[($0 + indices.count - 1) % indices.count])
            }
        }
    }

    init(
        _ settings: PreferenceSettings, train: [TrainingExample], validation: [TrainingExample],
        slots: [Int], seed: UInt64, embeddingNoise: Float = 0
    ) {
        self.embeddingNoise = embeddingNoise
        self.settings = settings
        loss = PreferenceLoss(settings: settings)
        self.slots = slots
        self.seed = seed
        self.train = Answers(train)
        self.validation = Answers(validation)
    }

    // MARK: Reference

    func prepare(
        _ pass: TrainingPass, batches: [[Int]], bins: [[Int]],
        _ progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        // What changes while it is trained is asked before.
        guard settings.usesReference, pass.changesBase || settings.precomputesReference else {
            return
        }
        let pairings = settings.method == .kto ? batches.count + bins.count : 0
        let total = train.examples.count + validation.examples.count + pairings
        var done = 0
        for (answers, batches) in [(train, batches), (validation, bins)] {
            for index in answers.examples.indices {
                try progress(done, total)
                _ = try references(of: [index], in: answers, pass)
                done += 1
            }
            guard settings.method == .kto else { continue }
            for indices in batches {
                try progress(done, total)
                try askMismatched(indices, in: answers, pass)
                done += 1
            }
        }
        try progress(total, total)
    }

    /// Keeps what the reference says of the answers to other prompts of a micro-batch.
    private func askMismatched(
        _ indices: [Int], in answers: Answers, _ pass: TrainingPass
    ) throws {
        let all = Mismatch.all(indices)
        guard all.contains(where: { answers.mismatched[$0] == nil }) else { return }
        let batch = PreferenceBatch(indices.map { answers.examples[$0] }).mismatched
        for (key, score) in zip(all, try scores(batch, slots: [], pass)) {
            answers.mismatched[key] = score.sum
        }
    }

    /// What the reference says of the answers of some examples, in the order of their batch.
    private func references(
        of indices: [Int], in answers: Answers, _ pass: TrainingPass
    ) throws -> [Double] {
        guard settings.usesReference else { return [] }
        let missing = indices.filter { answers.references[$0].isEmpty }
        if !missing.isEmpty {
            let scores = try scores(
                PreferenceBatch(missing.map { answers.examples[$0] }), slots: [], pass)
            let each = scores.count / missing.count
            for (place, index) in missing.enumerated() {
                answers.references[index] = scores[place * each..<(place + 1) * each].map(\.sum)
            }
        }
        return indices.flatMap { answers.references[$0] }
    }

    private func scores(
        _ batch: PreferenceBatch, slots: [Int], _ pass: TrainingPass
    ) throws -> [AnswerScore] {
        batch.scores(try pass.losses(batch.rows(slots: slots), sharper: false))
    }

    /// How far the model is from its reference on answers to other prompts, at least 0.
    private func divergence(
        _ batch: PreferenceBatch, _ indices: [Int], in answers: Answers, _ pass: TrainingPass
    ) throws -> Double {
        guard settings.method == .kto else { return 0 }
        let mismatched = batch.mismatched
        let model = try scores(mismatched, slots: slots, pass)
        let known = Mismatch.all(indices).compactMap { answers.mismatched[$0] }
        let reference =
            known.count == model.count
            ? known : try scores(mismatched, slots: [], pass).map(\.sum)
        let sum = zip(model, reference).reduce(0.0) { $0 + $1.0.sum - $1.1 }
        return max(sum / Double(max(model.count, 1)), 0)
    }

    // MARK: Steps

    private func outcome(
        _ batch: PreferenceBatch, _ losses: RowLosses, references: [Double], divergence: Double
    ) -> PreferenceOutcome {
        let scores = batch.scores(losses)
        if settings.takesPairs {
            return loss.pairs(
                scores, references: references, chosenLoss: batch.chosenLoss(losses.plain))
        }
        return loss.single(
            scores, references: references, desirable: batch.desirable, divergence: divergence)
    }

    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        var result = StepResult()
        var rewards = RewardSum()
        let weight = 1 / Double(max(batches.count, 1))
        for (index, indices) in batches.enumerated() {
            try pause()
            let batch = PreferenceBatch(
                indices.map { train.examples[$0] }, learnsPrompts: settings.learnsPrompts)
            let references = try references(of: indices, in: train, pass)
            let divergence = try divergence(batch, indices, in: train, pass)
            let rows = batch.rows(
                slots: slots, dropoutSeed: mixedSeed(seed, UInt64(step), UInt64(index)),
                embeddingNoise: embeddingNoise)
            try pass.run(rows, sharper: settings.weighsPairs) { losses in
                let outcome = outcome(
                    batch, losses, references: references, divergence: divergence)
                result.loss += weight * outcome.loss
                rewards.add(outcome, examples: indices.count)
                return batch.scales(outcome, weight: weight)
            }
            result.tokens += batch.tokenCount
            result.trainedTokens += batch.answerTokens
        }
        result.rewards = rewards.report
        return result
    }

    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult {
        var result = EvaluationResult()
        var rewards = RewardSum()
        for indices in bins {
            try pause()
            let batch = PreferenceBatch(
                indices.map { validation.examples[$0] }, learnsPrompts: settings.learnsPrompts)
            let references = try references(of: indices, in: validation, pass)
            let divergence = try divergence(batch, indices, in: validation, pass)
            let losses = try pass.losses(
                batch.rows(slots: slots), sharper: settings.weighsPairs)
            let outcome = outcome(
                batch, losses, references: references, divergence: divergence)
            result.loss +=
                outcome.loss * Double(indices.count) / Double(max(validation.examples.count, 1))
            result.tokens += batch.answerTokens
            rewards.add(outcome, examples: indices.count)
        }
        result.rewards = rewards.report
        return result
    }
}
