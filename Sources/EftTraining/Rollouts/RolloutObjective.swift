// SPDX-License-Identifier: Apache-2.0
// Learning from rewards of the model's own completions.
import EftConfig
import EftModels
import EftNN

/// Group relative policy optimization: a step completes its prompts, compares the rewards of each prompt's completions, and
/// makes those likelier that are better than the others.
final class RolloutObjective: TrainingObjective {
    private let settings: RolloutSettings
    private let loss: PolicyLoss
    private let train: [TrainingExample]
    private let validation: [TrainingExample]
    private let slots: [Int]
    private let seed: UInt64
    private let microBatchSize: Int
    private let embeddingNoise: Float
    private let tools: RolloutTools
    /// The completions of the steps that are made of them.
    private var current: (generation: Int, rollouts: Rollouts)?

    /// A completion with its prompt.
    struct Rollout {
        let prompt: [Int32]
        let completion: SampledCompletion
        var advantage = 0.0
        var isMasked = false
        /// Log-probabilities by the model that sampled it; nil where that is the model itself.
        var old: [Double]?
        /// Log-probabilities by the reference.
        var reference: [Double] = []
    }

    /// The completions of a step.
    struct Rollouts {
        var all: [Rollout]
        var report: RolloutReport

        /// Tokens that count.
        var tokens: Int {
            all.reduce(0) { $0 + ($1.isMasked ? 0 : $1.completion.tokens.count) }
        }
    }

    /// - Parameter microBatchSize: completions that go through the model together.
    init(
        _ settings: RolloutSettings, train: [TrainingExample], validation: [TrainingExample],
        slots: [Int], seed: UInt64, microBatchSize: Int, embeddingNoise: Float = 0,
        tools: RolloutTools
    ) {
        self.settings = settings
        loss = PolicyLoss(settings: settings)
        self.train = train
        self.validation = validation
        self.slots = slots
        self.seed = seed
        self.microBatchSize = microBatchSize
        self.embeddingNoise = embeddingNoise
        self.tools = tools
    }

    // MARK: Completions

    /// Completes prompts and asks for rewards.
    private func complete(
        _ indices: [Int], of examples: [TrainingExample], seed: UInt64, _ pass: TrainingPass,
        isReused: Bool, pause: () throws -> Void
    ) throws -> Rollouts {
        let requests = indices.map { index in
            CompletionRequest(
                prompt: examples[index].tokens, samples: settings.numGenerations,
                seed: mixedSeed(seed, UInt64(index)), form: settings.form)
        }
        let samples = try tools.source.complete(requests, pause: pause)
        var (rollouts, lines) = ([Rollout](), [String]())
        for (index, samples) in zip(indices, samples) {
            var row = ConfigObject()
            if case .object(let given) = try JSONParser.parse(examples[index].row ?? "{}").value {
                row = given
            }
            for sample in samples {
                rollouts.append(
                    Rollout(
                        prompt: examples[index].tokens, completion: sample,
                        isMasked: settings.masksTruncated && sample.isTruncated))
                // What a command is told: the row, and the completion's text.
                row["completion"] = ConfigNode(try tools.text(sample.tokens))
                lines.append(JSONWriter.text(ConfigNode(row)))
            }
        }
        let rewards = try tools.rewards.map { try $0.rewards(lines, pause: pause) }
        let advantages = GroupAdvantages(
            rewards, weights: settings.rewardWeights, size: settings.numGenerations,
            scaling: settings.scaling)
        for index in rollouts.indices { rollouts[index].advantage = advantages.values[index] }
        try score(&rollouts, pass, isReused: isReused, pause: pause)
        return Rollouts(all: rollouts, report: Self.report(rollouts, advantages))
    }

    private static func report(
        _ rollouts: [Rollout], _ advantages: GroupAdvantages
    ) -> RolloutReport {
        let count = Double(max(rollouts.count, 1))
        return RolloutReport(
            reward: advantages.mean, deviation: advantages.deviation,
            sameShare: advantages.sameShare,
            length: Double(rollouts.reduce(0) { $0 + $1.completion.tokens.count }) / count,
            truncated: Double(rollouts.count { $0.completion.isTruncated }) / count)
    }

    /// Asks the reference, and the model itself where later steps are compared with it.
    private func score(
        _ rollouts: inout [Rollout], _ pass: TrainingPass, isReused: Bool,
        pause: () throws -> Void
    ) throws {
        for micro in microBatches(rollouts.count) {
            let batch = CompletionBatch(rollouts[micro])
            func probabilities(_ slots: [Int]) throws -> [[Double]] {
                try pause()
                let rows = batch.rows(slots: slots, temperature: Float(settings.temperature))
                return batch.logProbabilities(
                    try pass.run([rows], gradientScale: 0).first ?? [])
            }
            if settings.beta > 0 {
                for (index, values) in zip(micro, try probabilities([])) {
                    rollouts[index].reference = values
                }
            }
            if isReused {
                for (index, values) in zip(micro, try probabilities(slots)) {
                    rollouts[index].old = values
                }
            }
        }
    }

    private func microBatches(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: microBatchSize).map {
            $0..<min($0 + microBatchSize, count)
        }
    }

    // MARK: Steps

    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        let rollouts = try rollouts(batches.flatMap(\.self), step: step, pass, pause: pause)
        return try learn(rollouts, step: step, pass, pause: pause)
    }

    /// The completions of a step, made now unless those of the step before serve it too.
    func rollouts(
        _ prompts: [Int], step: Int, _ pass: TrainingPass, pause: () throws -> Void = {}
    ) throws -> Rollouts {
        let generation = step / settings.numIterations
        if let current, current.generation == generation { return current.rollouts }
        let made = try complete(
            prompts, of: train, seed: mixedSeed(seed, UInt64(generation), 5), pass,
            isReused: settings.numIterations > 1, pause: pause)
        current = (generation, made)
        return made
    }

    /// Adds up the gradients of completions.
    func learn(
        _ rollouts: Rollouts, step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        var (result, report) = (StepResult(), rollouts.report)
        let micros = microBatches(rollouts.all.count)
        for (index, micro) in micros.enumerated() {
            try pause()
            let batch = CompletionBatch(rollouts.all[micro])
            let rows = batch.rows(
                slots: slots, temperature: Float(settings.temperature),
                dropoutSeed: mixedSeed(seed, UInt64(step), UInt64(index)),
                embeddingNoise: embeddingNoise)
            try pass.run(rows) { losses in
                let outcome = outcome(batch, losses.plain, rollouts, micros.count)
                result.loss += outcome.loss
                report.add(outcome, of: micros.count)
                return batch.scales(outcome)
            }
            result.tokens += batch.tokenCount
            result.trainedTokens += batch.completionTokens
        }
        result.rollouts = report
        return result
    }

    private func outcome(
        _ batch: CompletionBatch, _ losses: [Float], _ rollouts: Rollouts, _ batches: Int
    ) -> PolicyLoss.Outcome {
        loss.outcome(batch.completions(losses), batches: batches, tokens: rollouts.tokens)
    }

    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult {
        var result = EvaluationResult()
        var reports: [RolloutReport] = []
        let count = Double(max(validation.count, 1))
        for indices in bins {
            let rollouts = try complete(
                indices, of: validation, seed: mixedSeed(seed, 6), pass, isReused: false,
                pause: pause)
            var report = rollouts.report
            let micros = microBatches(rollouts.all.count)
            for micro in micros {
                try pause()
                let batch = CompletionBatch(rollouts.all[micro])
                let rows = batch.rows(slots: slots, temperature: Float(settings.temperature))
                let losses = try pass.run([rows], gradientScale: 0).first ?? []
                let outcome = outcome(batch, losses, rollouts, micros.count)
                result.loss += outcome.loss * Double(indices.count) / count
                report.add(outcome, of: micros.count)
                result.tokens += batch.completionTokens
            }
            reports += [RolloutReport](repeating: report, count: indices.count)
        }
        result.rollouts = RolloutReport.mean(reports)
        return result
    }
}

extension RolloutReport {
    /// Adds what one of some micro-batches came to.
    fileprivate mutating func add(_ outcome: PolicyLoss.Outcome, of count: Int) {
        divergence += outcome.divergence / Double(count)
        clipped += outcome.clipped / Double(count)
    }
}
