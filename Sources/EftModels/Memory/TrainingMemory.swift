// SPDX-License-Identifier: Apache-2.0
// What a training run holds besides weights, stated before it is taken.
import EftFormats
import EftTensor

/// The memory of a training run besides weights and adapters.
package struct TrainingMemory: Sendable, Hashable {
    /// Bytes of optimizer state for each trainable number: two moments in f32.
    package static let optimizerBytes = 8

    /// Bytes in memory of paged state: both moments of the largest parameter, in whole blocks of the disk.
    package static func pagedBytes(largest: Int) -> Int {
        2 * roundUp(largest, to: SpillFile.alignment)
    }

    /// Gradients of so many trainable numbers, and the optimizer's state.
    package static func trainable(_ count: Int) -> MemoryTable {
        MemoryTable([.gradients: count * 4, .optimizer: count * optimizerBytes])
    }
}
