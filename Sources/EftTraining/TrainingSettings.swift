// SPDX-License-Identifier: Apache-2.0
// What the training loop needs to know, resolved from a configuration.

/// Settings of the training loop, under the names of Axolotl's keys.
package struct TrainingSettings: Sendable, Hashable {
    package var sequenceLen = 512
    package var microBatchSize = 1
    package var gradientAccumulationSteps = 1
    package var numEpochs = 1.0
    /// Ends training early when given.
    package var maxSteps: Int?
    package var samplePacking = false
    package var gradientCheckpointing = false
    package var learningRate = 0.0
    package var schedule = LearningRateSchedule.Kind.cosine
    /// Warm-up in steps; wins over the ratio.
    package var warmupSteps: Int?
    /// Warm-up as a share of all steps.
    package var warmupRatio: Double?
    package var weightDecay = 0.0
    package var adamBeta1 = 0.9
    package var adamBeta2 = 0.999
    package var adamEpsilon = 1e-8
    /// Gradients are scaled down to this norm; 0 for never.
    package var maxGradNorm = 1.0
    package var seed: UInt64 = 42
    /// Steps between lines of the log.
    package var loggingSteps = 1
    /// When to save checkpoints besides the end.
    package var saves = Cadence.epochs(1)
    /// When to evaluate besides the end.
    package var evaluations = Cadence.never
    /// Checkpoints kept; older ones are removed.
    package var saveTotalLimit = 4
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
    }

    /// Most tokens of a micro-batch.
    package var microBatchTokens: Int { microBatchSize * sequenceLen }
}
