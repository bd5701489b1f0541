// SPDX-License-Identifier: Apache-2.0
// What the training loop needs to know, resolved from a configuration.
import EftModels

/// Settings of the training loop, under the names of Axolotl's keys.
package struct TrainingSettings: Sendable, Hashable {
    /// Most tokens of an example.
    package var sequenceLen = 512
    /// Examples (rows of `sequenceLen` tokens when packing) that go through the model together.
    package var microBatchSize = 1
    /// Micro-batches of a step.
    package var gradientAccumulationSteps = 1
    /// Times that the data is gone through; the last may be a part.
    package var numEpochs = 1.0
    /// The number of steps, whatever the number of epochs, when given.
    package var maxSteps: Int?
    /// How preferences are learned, in a run that learns from them.
    package var preferences: PreferenceSettings?
    /// How a model learns to score, in a run that trains one.
    package var scoring: ScoreSettings?
    /// How a model learns from rewards of its own completions, in a run where it does.
    package var rollouts: RolloutSettings?
    /// What the run answers besides learning; nothing when nil.
    package var answers: AnswerSettings?
    /// Which layers are trained in turn; all of them always when nil.
    package var layerSampling: LayerSampling?
    /// What is rounded, in a run that makes a model for quantization.
    package var quantizationAware: QuantizationAwareSettings?
    /// The token that fills up rows, which decides where a text is scored.
    package var padID: Int32?
    /// Whether short examples share a row.
    package var samplePacking = false
    /// Whether packing never takes an example before one that came earlier.
    package var packsInOrder = false
    /// Whether the examples are taken in their own order in each epoch, and not in a random one.
    package var keepsOrder = false
    /// Whether micro-batches hold examples of about one length.
    package var groupsByLength = false
    /// What is kept for the backward pass.
    package var gradientCheckpointing = Checkpointing.none
    /// How parameters change by their gradients.
    package var optimizer = OptimizerSettings()
    /// The highest learning rate.
    package var learningRate = 0.0
    /// The form of the learning rate's curve.
    package var schedule = LearningRateSchedule.Kind.cosine
    /// What the configuration says of that form.
    package var scheduleOptions = ScheduleOptions()
    /// Warm-up in steps; wins over the ratio.
    package var warmupSteps: Int?
    /// Warm-up as a share of all steps.
    package var warmupRatio: Double?
    /// The lowest rate of a cosine schedule as a share of the highest.
    package var cosineMinLRRatio = 0.0
    /// The share of steps after which a cosine schedule stays at its lowest rate.
    package var cosineConstantLRRatio: Double?
    /// Restarts of the learning rate; none when nil.
    package var jaggedRestarts: JaggedRestarts?
    /// Restarts of the adapter; none when nil.
    package var adapterRestarts: AdapterRestartSettings?
    /// Decoupled weight decay.
    package var weightDecay = 0.0
    /// Gradients are scaled down to this norm; 0 for never.
    package var maxGradNorm = 1.0
    /// The learning rate of adapters' second matrices by that of the first (LoRA+).
    package var loraPlusRatio = 1.0
    /// Learning rates of parts of the model.
    package var rateGroups = RateGroups()
    /// How much noise is added to embeddings in training (NEFTune); 0 for none.
    package var embeddingNoise = 0.0
    /// The share of what is wanted that all tokens have in equal parts, where tokens are learned.
    package var labelSmoothing = 0.0
    /// Evaluations without a lower loss after which a run ends.
    package var earlyStoppingPatience: Int?
    /// Whether what had the lowest loss in an evaluation is what is saved at the end.
    package var loadsBest = false
    /// The loss above which a step counts as bad, and bad steps in a row after which the run ends.
    package var lossWatchdog: LossWatchdog?
    /// Seeds order, dropout and fresh weights.
    package var seed: UInt64 = 42
    /// Whether evaluations report the perplexity.
    package var reportsPerplexity = false
    /// Steps between lines of the log; each is the mean of those before.
    package var loggingSteps = 1
    /// When to save checkpoints.
    package var saves = Cadence.epochs(1)
    /// When to evaluate besides the end.
    package var evaluations = Cadence.never
    /// Whether to evaluate before the first step.
    package var evaluatesAtStart = false
    /// Checkpoints kept; older ones of the run are removed.
    package var saveTotalLimit = 4
    /// Whether checkpoints hold what was trained and no state from which the run could go on.
    package var savesOnlyModel = false
    /// Where results go.
    package var outputDir = "./model-out"

    /// Starts from Axolotl's defaults.
    package init() {}

    /// How often something happens.
    package enum Cadence: Sendable, Hashable {
        case never
        /// So many times in each epoch.
        case epochs(Int)
        /// Every so many steps.
        case steps(Int)
        /// Every so large a part of all steps.
        case share(Double)
    }

    /// Sequences of an example: both answers of a pair.
    package var sequencesPerExample: Int {
        preferences?.takesPairs == true || scoring?.takesPairs == true ? 2 : 1
    }

    /// When a run is given up.
    package struct LossWatchdog: Sendable, Hashable {
        /// The loss above which a step is bad.
        package var threshold: Double
        /// Bad steps in a row.
        package var patience: Int
    }

    /// Whether the run completes prompts.
    package var completesPrompts: Bool { rollouts != nil || answers != nil }

    /// Most tokens of a micro-batch.
    package var microBatchTokens: Int { microBatchSize * sequenceLen * sequencesPerExample }
}
