// SPDX-License-Identifier: Apache-2.0
// What a training run holds besides weights, stated before it is taken.
import EftNN
import EftTensor

/// The memory of a training run besides weights and adapters.
package struct TrainingMemory: Sendable, Hashable {
    /// Bytes of optimizer state for each trainable number: two moments in f32.
    package static let optimizerBytes = 8

    /// Trainable numbers.
    package var trainableCount: Int
    /// The need of the pass over a micro-batch.
    package var pass: TrainingNeed

    /// States the memory.
    package init(trainableCount: Int, pass: TrainingNeed) {
        self.trainableCount = trainableCount
        self.pass = pass
    }

    /// Bytes by purpose, without scratch memory.
    package func table(_ description: DecoderDescription) -> MemoryTable {
        MemoryTable([
            .gradients: trainableCount * 4,
            .optimizer: trainableCount * TrainingMemory.optimizerBytes,
            .activations: pass.byteCount(description),
        ])
    }
}
