// SPDX-License-Identifier: Apache-2.0
// A training run as its configuration and its data make it, before any weights are loaded.
import EftConfig
import EftModels
import EftTensor

/// A training run whose examples are known: how many steps it has, and of what.
///
/// The rows are read and tokenized exactly as training does it; nothing is refused for its size.
package struct TrainingOutline {
    /// The configuration.
    package let config: AxolotlConfig
    /// The base model.
    package let base: BaseModel
    /// What became of the rows.
    package let counts: TrainingData.Counts
    /// Tokens of the examples.
    package let lengths: ExampleLengths
    /// Which examples go through the model in which step.
    package let batches: BatchPlan
    /// Lines for the user.
    package let notices: [String]
    private let adapter: AdapterExtents?

    /// Examples that go through the model together.
    package struct MicroBatchSize: Sendable, Hashable {
        /// Examples.
        package let sequences: Int
        /// Tokens of all of them.
        package let tokens: Int
    }

    /// Reads a run's data.
    /// - Parameter shouldStop: asked now and then; when it says yes, `TrainingError` (`interrupted`) is thrown.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`, `TokenizerError`, `TrainingError`.
    package init(_ config: AxolotlConfig, shouldStop: () -> Bool = { false }) throws {
        self.config = config
        let base = try BaseModel(config)
        self.base = base
        let description = base.folder.description
        var targets = try config.adapter.map {
            try AdapterTargets($0, description: description, baseModel: config.model.recordedBase)
        }
        let tokenizer = try TrainingTokenizer(
            config.model, base.vocabulary, vocabulary: description.vocabulary)
        let current = try CurrentExamples(
            config, tokenizer, tokenizerFolder: base.vocabulary.folder,
            shouldStop: shouldStop)
        let data = current.data
        try tokenizer.check(data, vocabulary: description.vocabulary)
        counts = data.counts
        lengths = ExampleLengths(
            train: data.train.map(\.rowCount), validation: data.validation.map(\.rowCount))
        batches = try BatchPlan(lengths: lengths.train, settings: config.training)
        targets?.restarts = config.training.adapterRestarts?.count(steps: batches.steps.count) ?? 0
        adapter = targets?.extents(description, base.trainedTokens)
        notices =
            config.notices + tokenizer.notices + current.notices
            + (config.training.rollouts == nil
                ? [] : ["the time that completing prompts and rewarding takes is not in the plan"])
    }

    /// Tokens of the examples of one epoch.
    package var tokensPerEpoch: Int { lengths.train.reduce(0, +) }

    /// The micro-batches of each step.
    package var steps: [[MicroBatchSize]] {
        if let rollouts = config.training.rollouts {
            let settings = config.training
            let size = settings.microBatchSize
            return batches.steps.map { step in
                let prompts = step.joined().map { lengths.train[$0] }
                let mean = prompts.reduce(0, +) / max(prompts.count, 1)
                let micro = MicroBatchSize(
                    sequences: size, tokens: size * (mean + rollouts.maxCompletionLength))
                let count = prompts.count * rollouts.numGenerations
                return Array(repeating: micro, count: (count + size - 1) / size)
            }
        }
        return batches.steps.map { step in
            step.map { examples in
                MicroBatchSize(
                    sequences: examples.count,
                    tokens: examples.reduce(0) { $0 + lengths.train[$1] })
            }
        }
    }

    /// The batches in which the validation set is read, and how often.
    package var evaluations: (batches: [MicroBatchSize], count: Int) {
        guard !lengths.validation.isEmpty else { return ([], 0) }
        let settings = config.training
        let widest = steps.joined().map(\.tokens).max() ?? 1
        let capacity = max(widest, lengths.validation.max() ?? 0)
        let bins = Trainer.bins(lengths.validation, capacity: capacity).map { bin in
            MicroBatchSize(
                sequences: bin.count, tokens: bin.reduce(0) { $0 + lengths.validation[$1] })
        }
        let total = batches.steps.count
        func isDue(_ step: Int) -> Bool {
            settings.evaluations.isDue(
                after: step, totalSteps: total, stepsPerEpoch: batches.stepsPerEpoch)
        }
        var count = settings.evaluatesAtStart ? 1 : 0
        for step in 1...max(total, 1) where isDue(step) { count += 1 }
        if settings.evaluations != .never, !isDue(total) { count += 1 }
        return (bins, count)
    }

    /// Numbers that are trained.
    package var trainedNumbers: Int {
        get throws { try (adapter?.byteCount ?? base.layouts().byteCount) / 4 }
    }

    /// What the run will hold, the program itself left out.
    package func plan(backend: any Backend, room: TrainingRoom) throws -> TrainingPlan {
        try TrainingJob.plan(
            base, config: config, lengths: lengths, backend: backend, room: room)
    }

    /// Bytes of the optimizer's state, wherever it stands.
    package var stateBytes: Int {
        get throws {
            let optimizer = config.training.optimizer
            return try optimizer.stateBytes(base.trainedShapes(adapter, for: optimizer))
        }
    }

    /// Bytes of temporary files: kept inputs of layers, and paged state of the optimizer.
    package func temporaryBytes(_ plan: TrainingPlan) throws -> Int {
        plan.spilledBytes + (config.training.optimizer.isPaged ? try stateBytes : 0)
    }
}

extension TrainingSettings.Cadence {
    /// Whether it is time after so many steps.
    func isDue(after step: Int, totalSteps: Int, stepsPerEpoch: Int) -> Bool {
        switch self {
        case .never: return false
        case .steps(let every): return step % max(every, 1) == 0
        case .share(let share):
            let every = (Double(totalSteps) * share).rounded(.up)
            return step % max(Int(min(every, 1e9)), 1) == 0
        case .epochs(let times):
            // True where the number of parts gone through grows with this step.
            let parts = max(times, 1)
            let per = max(stepsPerEpoch, 1)
            return step * parts / per != (step - 1) * parts / per
        }
    }
}
