// SPDX-License-Identifier: Apache-2.0
// The plan of a training run whose data is known: steps, tokens, memory, and the time of all of it.
import EftCommandLine
import EftConfig
import EftFormats
import EftModels
import EftPlanning
import EftTensor
import EftTraining

/// A training run, planned to its end.
struct PlannedTraining {
    /// The run.
    let outline: TrainingOutline
    /// What it needs, and its whole time as the estimate.
    let stage: StagePlan
    /// The parts of the time; nil when the machine's speeds are not known.
    let estimate: TrainingRunEstimate?

    /// Plans a run.
    /// - Parameters:
    ///   - name: what the run is called in the plan, such as the file of its configuration.
    ///   - planner: of the base model; its estimator gives the times.
    init(
        _ outline: TrainingOutline, name: String, planner: Planner, backend: CPUBackend
    ) throws {
        self.outline = outline
        let program = planner.programBytes
        var room = TrainingRoom(limits: planner.limits, weightLimits: planner.weightLimits)
        if let first = room.limits.first, first != .max { room.limits[0] = max(0, first - program) }
        let plan = try outline.plan(backend: backend, room: room)
        let settings = outline.config.training
        var stage = StagePlan(
            name: "train, \(name)", placed: plan.placed, weightLimits: planner.weightLimits,
            detail: "\(outline.batches.steps.count) steps of at most "
                + "\(settings.gradientAccumulationSteps) x \(settings.microBatchSize) x "
                + "\(settings.sequenceLen) tokens"
                + (plan.joined > 1
                    ? ", one pass over the weights for each \(plan.joined) micro-batches" : ""))
        stage.kind = .trainConfigured
        stage.devices[0][.program] = program
        // What is trained, and a checkpoint of it with the optimizer's state, written aside.
        let trained = try outline.trainedNumbers
        stage.disk += trained * 8 + (try outline.stateBytes) + (try outline.temporaryBytes(plan))
        let fits = stage.fits(planner.limits)
        if !fits { stage.remedy = planner.enough(stage) }
        var estimator = fits ? planner.estimator : nil
        estimator?.precision = outline.config.precision
        estimate = try estimator?.trainingRun(
            PlannedTraining.run(outline, joined: plan.joined, trained: trained),
            layouts: outline.base.layouts(), placement: stage.placement)
        if let estimate {
            stage.estimate = StageEstimate(
                seconds: estimate.seconds, tokensPerSecond: estimate.tokensPerSecond,
                limit: estimate.limit)
        }
        self.stage = stage
    }

    private static func run(
        _ outline: TrainingOutline, joined: Int, trained: Int
    ) -> TrainingRun {
        func batch(_ size: TrainingOutline.MicroBatchSize) -> TrainingRun.MicroBatch {
            TrainingRun.MicroBatch(sequences: size.sequences, tokens: size.tokens)
        }
        var run = TrainingRun(
            steps: outline.steps.map { $0.map(batch) }, trainedNumbers: trained,
            isFull: outline.config.adapter == nil,
            checkpointing: outline.config.training.gradientCheckpointing.recomputes, joined: joined)
        let evaluations = outline.evaluations
        run.validation = evaluations.batches.map(batch)
        run.evaluations = evaluations.count
        return run
    }

    // MARK: Words

    /// What the data comes to, and how long it takes.
    func item(_ command: [String], _ limits: [Int]) -> PlanConclusion.Item {
        let settings = outline.config.training
        let steps = outline.batches.steps
        var text =
            "Training: \(outline.counts.summary); \(outline.lengths.train.count) examples of "
            + "\(outline.tokensPerEpoch) tokens to train on"
        if settings.samplePacking {
            let bins = steps.prefix(outline.batches.stepsPerEpoch).joined()
            let room = Double(bins.count) * Double(settings.microBatchTokens)
            let share = Int((100 * Double(outline.tokensPerEpoch) / max(room, 1)).rounded())
            text +=
                ", packed into \(bins.count) micro-batches of at most \(settings.microBatchTokens) "
                + "tokens" + (settings.numEpochs >= 1 ? ", \(share) % full" : "")
        }
        text += ". \(steps.count) steps"
        if settings.maxSteps == nil {
            let epochs = settings.numEpochs
            text += " in \(PlannedTraining.number(epochs)) epoch\(epochs == 1 ? "" : "s")"
        }
        if let estimate {
            let each = estimate.training / Double(max(steps.count, 1))
            text +=
                ", \(PlanReport.duration(each)) each: \(PlanReport.duration(estimate.seconds)) in all"
            if estimate.evaluation > 0 {
                text += ", \(PlanReport.duration(estimate.evaluation)) of it for evaluations"
            }
        }
        text += ". "
        if stage.fits(limits) {
            text += "It takes \(formatBytes(stage.memory.total)) of memory"
            if let streaming = stage.streaming { text += ": \(streaming)" }
        } else {
            text += "It does not fit: \(PlanReport.shortfall(stage, limits))"
        }
        return PlanConclusion.Item(text + ".", [command])
    }

    private static func number(_ value: Double) -> String {
        Int(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    /// The run as an object for machines.
    var node: ConfigNode {
        var object = ConfigObject()
        object["rows"] = ConfigNode(outline.counts.rows)
        object["examples"] = ConfigNode(outline.lengths.train.count)
        object["validation_examples"] = ConfigNode(outline.lengths.validation.count)
        object["tokens_per_epoch"] = ConfigNode(outline.tokensPerEpoch)
        object["tokens"] = ConfigNode(outline.steps.joined().reduce(0) { $0 + $1.tokens })
        object["sample_packing"] = ConfigNode(outline.config.training.samplePacking)
        object["steps"] = ConfigNode(outline.batches.steps.count)
        object["steps_per_epoch"] = ConfigNode(outline.batches.stepsPerEpoch)
        object["trained_numbers"] = ConfigNode((try? outline.trainedNumbers) ?? 0)
        if let estimate {
            object["seconds"] = ConfigNode(estimate.seconds)
            object["evaluation_seconds"] = ConfigNode(estimate.evaluation)
            object["tokens_per_second"] = ConfigNode(estimate.tokensPerSecond)
        }
        return ConfigNode(object)
    }
}
