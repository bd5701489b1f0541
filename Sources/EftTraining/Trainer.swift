// SPDX-License-Identifier: Apache-2.0
// The training loop.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor

/// Trains what of a decoder is trainable.
package final class Trainer {
    private let decoder: Decoder
    private let settings: TrainingSettings
    private let objective: any TrainingObjective
    private let plan: BatchPlan
    private let optimizer: Optimizer
    private let pass: TrainingPass
    private let schedule: LearningRateSchedule
    private let validationBins: [[Int]]
    private var turns: LayerTurns?
    private let restarts: AdapterRestarts?
    private let answers: AnswerSampler?
    /// The decoder layer of each parameter that is in one, where layers take turns.
    private let parameterLayers: [Int?]
    private var guardian: RunGuard
    /// Steps made before the run went back to its best ones; 0 before that.
    private var stepsBeforeBest = 0
    private let fingerprint: String
    private let output: Output

    /// How a run's results are written.
    package struct Output: Sendable {
        /// Writes what was trained, in the ecosystem's format, into a folder.
        package let save: @Sendable (_ folder: String) throws -> Void

        /// Makes an output.
        package init(save: @escaping @Sendable (_ folder: String) throws -> Void) {
            self.save = save
        }
    }

    /// Takes all memory of the run.
    /// - Parameters:
    ///   - slots: the adapter that is trained and those that act beside it.
    ///   - joined: micro-batches that one pass over the weights serves.
    ///   - fingerprint: a hash of data and settings; a checkpoint of another one is refused.
    /// - Throws: `TrainingError` for unusable data, `TensorError` when the run does not fit.
    package convenience init(
        decoder: Decoder, settings: TrainingSettings, train: [TrainingExample],
        validation: [TrainingExample], slots: [Int], joined: Int = 1, fingerprint: String,
        output: Output
    ) throws {
        try self.init(
            decoder: decoder, settings: settings,
            objective: Trainer.objective(settings, train, validation, slots),
            lengths: ExampleLengths(
                train: train.map(\.rowCount), validation: validation.map(\.rowCount)),
            joined: joined, fingerprint: fingerprint, output: output)
    }

    /// Takes all memory of a run that minimizes something of its own.
    init(
        decoder: Decoder, settings: TrainingSettings, objective: any TrainingObjective,
        restarts: AdapterRestarts? = nil, answers: AnswerSampler? = nil, lengths: ExampleLengths,
        joined: Int, fingerprint: String,
        output: Output
    ) throws {
        let parameters = decoder.parameters
        precondition(!parameters.isEmpty, "nothing is trainable")
        self.decoder = decoder
        self.settings = settings
        self.objective = objective
        self.restarts = restarts
        self.answers = answers
        guardian = RunGuard(settings)
        self.fingerprint = fingerprint
        self.output = output
        plan = try BatchPlan(lengths: lengths.train, settings: settings)
        schedule = LearningRateSchedule(settings, total: plan.steps.count)
        turns = settings.layerSampling.map {
            LayerTurns($0, layers: decoder.layers.count, seed: settings.seed)
        }
        let layers = settings.layerSampling == nil ? [:] : decoder.layersOfParameters
        parameterLayers = parameters.map { layers[ObjectIdentifier($0)] }
        optimizer = try Optimizer(
            parameters: parameters, settings: settings, devices: decoder.devices)
        var need = Trainer.need(
            plan: plan, train: lengths.train, validation: lengths.validation, settings: settings,
            adapterWidths: decoder.adapterWidths)
        validationBins = Trainer.bins(lengths.validation, capacity: need.rows)
        need.joined = joined
        pass = try TrainingPass(
            decoder: decoder, need: need, spillFolder: settings.outputDir)
        round(step: optimizer.steps)
        try decoder.reserveScratch(
            rows: need.rows,
            headRows: LossHead.chunkRows(
                vocabulary: decoder.description.headOutputs, rows: need.rows),
            training: decoder.trainingScratch)
    }

    static func objective(
        _ settings: TrainingSettings, _ train: [TrainingExample], _ validation: [TrainingExample],
        _ slots: [Int]
    ) -> any TrainingObjective {
        let (seed, noise) = (settings.seed, Float(settings.embeddingNoise))
        if let preferences = settings.preferences {
            return PreferenceObjective(
                preferences, train: train, validation: validation, slots: slots, seed: seed,
                embeddingNoise: noise)
        }
        if let scoring = settings.scoring, scoring.takesPairs {
            return RewardObjective(
                settings: scoring, train: train, validation: validation, slots: slots, seed: seed,
                padID: settings.padID, embeddingNoise: noise)
        }
        let supervised = SupervisedObjective(
            train: train, validation: validation, slots: slots, seed: seed, embeddingNoise: noise,
            labelSmoothing: Float(settings.labelSmoothing))
        return settings.scoring.map { StepObjective(supervised, labels: $0.head.labels) }
            ?? supervised
    }

    /// The need of the pass, from the largest micro-batch that the plan holds.
    /// - Parameters:
    ///   - train: rows of each example to train on.
    ///   - validation: rows of each example to evaluate on.
    package static func need(
        plan: BatchPlan, train: [Int], validation: [Int], settings: TrainingSettings,
        adapterWidths: AdapterWidths
    ) -> TrainingNeed {
        if let rollouts = settings.rollouts {
            let longest = max(train.max() ?? 1, validation.max() ?? 0)
            return TrainingNeed(
                rows: settings.microBatchSize * (longest + rollouts.maxCompletionLength),
                sequences: settings.microBatchSize, adapters: adapterWidths,
                checkpointing: settings.gradientCheckpointing)
        }
        var rows = 1
        for batch in plan.steps.joined() { rows = max(rows, batch.reduce(0) { $0 + train[$1] }) }
        rows = max(rows, validation.max() ?? 0)
        let bins = Trainer.bins(validation, capacity: rows)
        let sequences =
            settings.sequencesPerExample * max(plan.mostExamples, bins.map(\.count).max() ?? 0)
        return TrainingNeed(
            rows: rows, sequences: sequences, adapters: adapterWidths,
            checkpointing: settings.gradientCheckpointing)
    }

    /// Validation examples in batches of at most `capacity` tokens.
    static func bins(_ lengths: [Int], capacity: Int) -> [[Int]] {
        BatchPlan.firstFit(Array(lengths.indices), lengths, capacity)
    }

    /// Steps of the run.
    package var totalSteps: Int { plan.steps.count }

    /// Steps made so far.
    package var stepsDone: Int { max(optimizer.steps, stepsBeforeBest) }

    // MARK: Resuming

    /// Goes on from a checkpoint.
    ///
    /// A run may be longer than the one that saved the checkpoint: then the learning rate follows the longer curve.
    /// - Throws: `TrainingError` (`checkpoint`) when it belongs to other data or settings.
    package func resume(from folder: String) throws {
        let state = try TrainingCheckpoint.read(folder)
        guard state.fingerprint == fingerprint else {
            throw TrainingError(
                .checkpoint,
                "\(folder) was saved with other data, order or adapter settings; resume with those, or "
                    + "train anew by removing resume_from_checkpoint")
        }
        guard state.step <= totalSteps else {
            throw TrainingError(
                .checkpoint,
                "\(folder) was saved after \(state.step) steps, this run has \(totalSteps); raise "
                    + "num_epochs or max_steps")
        }
        try TrainingCheckpoint.restore(optimizer, from: folder)
        round(step: max(0, optimizer.steps - 1))
        decoder.noteChangedParameters()
        restarts?.resume(count: state.restarts)
        guardian.resume(best: state.best, withoutGain: state.withoutGain)
    }

    // MARK: The loop

    /// Computes what must be known of the model before it is trained; to be called before `resume`.
    /// - Parameters: as of `run`.
    package func prepare(
        onEvent: (TrainingEvent) throws -> Void, shouldStop: () -> Bool
    ) throws {
        try objective.prepare(
            pass, batches: plan.steps.flatMap(\.self), bins: validationBins
        ) { done, total in
            if shouldStop() {
                throw TrainingError(
                    .interrupted, "interrupted before the first step; nothing to save")
            }
            try onEvent(.reference(done: done, total: total))
        }
    }

    /// Makes all remaining steps, then writes the results to the output folder.
    /// - Parameters:
    ///   - onEvent: told of steps, evaluations and checkpoints.
    ///   - shouldStop: asked between micro-batches; when it says yes, the last whole step is saved and
    ///     `TrainingError` (`interrupted`) thrown.
    package func run(
        onEvent: (TrainingEvent) throws -> Void, shouldStop: () -> Bool
    ) throws {
        do {
            try steps(onEvent, shouldStop)
        } catch is Stopped {
            try saveAndStop(onEvent)
        }
        try loadBest(onEvent)
        try tellingWhereToGoOn {
            try withResult { try output.save(settings.outputDir) }
        }
    }

    /// Goes back to what had the lowest loss in an evaluation, where that is asked for.
    private func loadBest(_ onEvent: (TrainingEvent) throws -> Void) throws {
        guard settings.loadsBest, let best = guardian.best, best.step != optimizer.steps else {
            return
        }
        let folder = TrainingCheckpoint.folder(settings.outputDir, step: best.step)
        stepsBeforeBest = optimizer.steps
        try TrainingCheckpoint.restore(optimizer, from: folder)
        decoder.noteChangedParameters()
        try onEvent(
            .notice(
                "the result is that of step \(best.step), with the lowest loss in an evaluation"))
    }

    /// Thrown and caught inside the loop when the user wants to stop.
    private struct Stopped: Error {}

    private func steps(
        _ onEvent: (TrainingEvent) throws -> Void, _ shouldStop: () -> Bool
    ) throws {
        if settings.evaluatesAtStart, optimizer.steps == 0 { try evaluate(onEvent, shouldStop) }
        var lastEvaluated = -1
        var lastSaved = -1
        func evaluateNow() throws -> String? {
            lastEvaluated = optimizer.steps
            guard let result = try evaluate(onEvent, shouldStop) else { return nil }
            let found = guardian.noteEvaluation(loss: result.loss, step: optimizer.steps)
            if found.isBest, settings.loadsBest { try save() }
            return found.end
        }
        func save() throws {
            guard lastSaved != optimizer.steps else { return }
            lastSaved = optimizer.steps
            // The best state is read again at the end.
            try saveCheckpoint(
                isWhole: !settings.savesOnlyModel || settings.loadsBest, onEvent)
        }
        while optimizer.steps < totalSteps {
            if let restarts, try restarts.restart(before: optimizer.steps, optimizer) {
                try onEvent(
                    .notice(
                        "restart \(restarts.count): the adapter was added to the base and begins anew"
                    ))
            }
            let report = try step(optimizer.steps, shouldStop)
            try onEvent(.step(report))
            var end = guardian.noteStep(loss: report.loss)
            if isDue(settings.evaluations, after: optimizer.steps) {
                end = try evaluateNow() ?? end
            }
            if isDue(settings.saves, after: optimizer.steps) { try save() }
            guard let end else { continue }
            try onEvent(.notice("stopped after step \(optimizer.steps) of \(totalSteps): \(end)"))
            break
        }
        if lastEvaluated != optimizer.steps, settings.evaluations != .never {
            _ = try evaluateNow()
        }
        if settings.saves != .never { try save() }
    }

    private func step(_ step: Int, _ shouldStop: () -> Bool) throws -> StepReport {
        let start = ContinuousClock.now
        round(step: step)
        takeTurns(step: step)
        let result = try accumulate(step, shouldStop)
        let rate = schedule.rate(step: step)
        let norm = try optimizer.step(
            learningRate: rate, warmup: schedule.warmup, number: turns.map(stepNumber))
        guard norm.isFinite else { throw diverged("the gradient", step) }
        decoder.noteChangedParameters()
        return StepReport(
            step: step + 1, totalSteps: totalSteps, epoch: epoch(after: step + 1),
            loss: result.loss,
            gradientNorm: norm, learningRate: rate, trainedTokens: result.trainedTokens,
            tokens: result.tokens, seconds: (ContinuousClock.now - start).seconds,
            rewards: result.rewards, rollouts: result.rollouts)
    }

    /// Computes with rounded numbers from the step on in which that begins.
    private func round(step: Int) {
        guard let rounding = settings.quantizationAware else { return }
        decoder.turnFakeQuantization(on: rounding.isOn(step: step))
    }

    /// Chooses the layers of a step, where they take turns.
    private func takeTurns(step: Int) {
        turns?.advance(to: step)
        if let turns { decoder.activate(layers: turns.active) }
    }

    /// Which of a parameter's steps the current one is; nil when its layer rests.
    private func stepNumber(_ turns: LayerTurns) -> (_ parameter: Int) -> Int? {
        { [parameterLayers, optimizer] index in
            guard let layer = parameterLayers[index] else { return optimizer.steps }
            return turns.active.contains(layer) ? turns.counts[layer] : nil
        }
    }

    private func epoch(after steps: Int) -> Double {
        Double(steps) / Double(max(plan.stepsPerEpoch, 1))
    }

    /// Adds up the gradients of a step.
    private func accumulate(_ step: Int, _ shouldStop: () -> Bool) throws -> StepResult {
        optimizer.zeroGradients()
        let result = try objective.accumulate(plan.steps[step], step: step, pass) {
            if shouldStop() { throw Stopped() }
        }
        guard result.loss.isFinite else { throw diverged("the loss", step) }
        decoder.finishGradients()
        for parameter in optimizer.parameters { parameter.clearFrozenGradient() }
        return result
    }

    private func diverged(_ what: String, _ step: Int) -> TrainingError {
        TrainingError(
            .diverged,
            "\(what) of step \(step + 1) is not a finite number; lower learning_rate, or check the weights "
                + "and data; the last checkpoint is untouched")
    }

    private func isDue(_ cadence: TrainingSettings.Cadence, after step: Int) -> Bool {
        cadence.isDue(
            after: step, totalSteps: totalSteps, stepsPerEpoch: plan.stepsPerEpoch)
    }

    // MARK: Evaluation and saving

    /// Runs `body` with the values that are the result of the run so far.
    private func withResult<Result>(_ body: () throws -> Result) throws -> Result {
        defer { decoder.noteChangedParameters() }
        return try optimizer.withResult {
            decoder.noteChangedParameters()
            return try body()
        }
    }

    /// Answers to the prompts that are shown, by the result of the run so far; nil when none are asked for.
    /// - Throws: `TrainingError` (`interrupted`) when `shouldStop` says yes, and what completing throws.
    func answers(_ shouldStop: () -> Bool) throws -> [String]? {
        guard let answers, settings.answers?.shown ?? 0 > 0 else { return nil }
        return try withResult {
            try answers.answers {
                guard shouldStop() else { return }
                throw TrainingError(.interrupted, "interrupted while prompts were answered")
            }
        }
    }

    /// Mean loss of the validation set.
    package func evaluationLoss(
        shouldStop: () -> Bool = { false }
    ) throws -> (loss: Double, tokens: Int) {
        let result = try evaluation(shouldStop)
        return (result.loss, result.tokens)
    }

    private func evaluation(_ shouldStop: () -> Bool) throws -> EvaluationResult {
        try withResult {
            try objective.evaluate(validationBins, pass) { if shouldStop() { throw Stopped() } }
        }
    }

    @discardableResult
    private func evaluate(
        _ onEvent: (TrainingEvent) throws -> Void, _ shouldStop: () -> Bool
    ) throws -> EvaluationResult? {
        guard !validationBins.isEmpty else { return nil }
        let start = ContinuousClock.now
        let result = try evaluation(shouldStop)
        // The result of the run is computed for those alone who ask for answers of it.
        let measures =
            try answers.map { answers in
                try withResult { try answers.scores { if shouldStop() { throw Stopped() } } }
            } ?? []
        try onEvent(
            .evaluation(
                EvaluationReport(
                    step: optimizer.steps, loss: result.loss, epoch: epoch(after: optimizer.steps),
                    tokens: result.tokens, examples: validationBins.reduce(0) { $0 + $1.count },
                    seconds: (ContinuousClock.now - start).seconds,
                    perplexity: settings.reportsPerplexity ? Perplexity.of(loss: result.loss) : nil,
                    measures: measures, rewards: result.rewards, rollouts: result.rollouts)))
        return result
    }

    /// Writes `checkpoint-N`, which has its name when all of it is written.
    /// - Parameter isWhole: whether the run can go on from it.
    private func saveCheckpoint(
        isWhole: Bool, _ onEvent: (TrainingEvent) throws -> Void
    ) throws {
        let folder = TrainingCheckpoint.folder(settings.outputDir, step: optimizer.steps)
        var state = TrainingCheckpoint.State(
            step: optimizer.steps, totalSteps: totalSteps, fingerprint: fingerprint)
        (state.best, state.withoutGain) = (guardian.best, guardian.withoutGain)
        state.isWhole = isWhole
        state.restarts = restarts?.count ?? 0
        try tellingWhereToGoOn {
            try TrainingCheckpoint.replace(folder) { partial in
                try withResult { try output.save(partial) }
                try TrainingCheckpoint.save(optimizer, state: state, to: partial)
            }
        }
        try removeOldCheckpoints()
        try onEvent(.saved(step: optimizer.steps, folder: folder))
    }

    /// Adds to an error of writing the checkpoint from which the run can go on.
    private func tellingWhereToGoOn(_ write: () throws -> Void) throws {
        do { try write() } catch let error as FormatError where error.code == .io {
            let way =
                ownCheckpoints.last(where: \.isWhole).map {
                    "go on with --resume-from-checkpoint \($0.folder)"
                }
                ?? "nothing was saved before"
            throw FormatError(
                .io, "\(error.message). After step \(optimizer.steps): \(way)", path: error.path,
                tensor: error.tensor)
        }
    }

    /// Checkpoints of this run, oldest first; those of other runs in the same folder are not its business.
    private var ownCheckpoints: [(step: Int, folder: String, isWhole: Bool)] {
        TrainingCheckpoint.list(settings.outputDir).compactMap { found in
            guard found.step <= optimizer.steps,
                let state = try? TrainingCheckpoint.read(found.folder),
                state.fingerprint == fingerprint
            else { return nil }
            return (found.step, found.folder, state.isWhole)
        }
    }

    /// Keeps the newest of this run.
    private func removeOldCheckpoints() throws {
        let own = ownCheckpoints
        let kept = settings.loadsBest ? guardian.best?.step : nil
        for old in own.dropLast(max(settings.saveTotalLimit, 1)) where old.step != kept {
            try TrainingCheckpoint.remove(old.folder)
        }
    }

    private func saveAndStop(_ onEvent: (TrainingEvent) throws -> Void) throws -> Never {
        guard optimizer.steps > 0 else {
            throw TrainingError(.interrupted, "interrupted before the first step; nothing to save")
        }
        try saveCheckpoint(isWhole: true, onEvent)
        throw TrainingError(
            .interrupted,
            "interrupted after step \(optimizer.steps) of \(totalSteps); saved in \(settings.outputDir). "
                + "Go on with --resume-from-checkpoint "
                + TrainingCheckpoint.folder(settings.outputDir, step: optimizer.steps))
    }
}
