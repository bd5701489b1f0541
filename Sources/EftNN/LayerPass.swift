// SPDX-License-Identifier: Apache-2.0
// What layers share in one pass.
import EftTensor

/// What a layer needs to know of one pass over a batch.
package struct LayerPass: Sendable {
    /// The batch.
    package let batch: DecoderBatch
    /// Device, adapters and dropout.
    package let pass: Pass
    /// Where the layer keeps what it computes on the way.
    package let activations: LayerActivations
    /// Keys and values.
    package let cache: any KVCache
    /// The rotations of the batch's rows by each of the model's rotary embeddings.
    package let rotations: [RotaryTables]

    /// Describes a pass.
    package init(
        batch: DecoderBatch, pass: Pass, activations: LayerActivations, cache: any KVCache,
        rotations: [RotaryTables]
    ) {
        self.batch = batch
        self.pass = pass
        self.activations = activations
        self.cache = cache
        self.rotations = rotations
    }

    /// The pass of some of the batch's rows, in ascending order, whose rotary tables take the place of all rows'.
    func keeping(_ kept: [Int]) -> LayerPass {
        for tables in rotations {
            for table in [tables.cosines, tables.sines] { table.pack(kept, of: table) }
        }
        return LayerPass(
            batch: batch.keeping(kept), pass: pass.packed(kept), activations: activations,
            cache: cache, rotations: rotations.map { $0.rows(0..<kept.count) })
    }
}
