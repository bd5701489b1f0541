// SPDX-License-Identifier: Apache-2.0
// What a training pass holds, stated before it is taken.
import EftFormats
import EftNN
import EftTensor

/// How the backward pass comes by what a layer computed.
package enum Checkpointing: Sendable, Hashable {
    /// Every layer's activations are kept.
    case none
    /// Layers keep their inputs in memory and are computed again.
    case memory
    /// Layers keep their inputs in a temporary file and are computed again.
    case disk

    /// Whether layers are computed again.
    package var recomputes: Bool { self != .none }
}

/// What a training pass needs besides weights, adapters, gradients and optimizer state.
package struct TrainingNeed: Sendable, Hashable {
    /// Most rows (tokens) of a micro-batch.
    package var rows: Int
    /// Most pages of 16 tokens that the sequences of a micro-batch take.
    package var pages: Int
    /// The widest of the adapters.
    package var adapters: AdapterWidths
    /// What is kept for the backward pass.
    package var checkpointing: Checkpointing
    /// Micro-batches that one pass over the weights serves.
    package var joined: Int

    /// States a need; `sequences` is the most sequences of a micro-batch.
    package init(
        rows: Int, sequences: Int, adapters: AdapterWidths = AdapterWidths(),
        checkpointing: Checkpointing, joined: Int = 1
    ) {
        precondition(joined == 1 || checkpointing.recomputes, "joined micro-batches are recomputed")
        self.rows = rows
        // Each sequence may leave its last page unfilled.
        pages = pageCount(tokens: rows) + sequences
        self.adapters = adapters
        self.checkpointing = checkpointing
        self.joined = joined
    }

    var workspace: DecoderWorkspaceNeed {
        DecoderWorkspaceNeed(
            rows: rows, logitRows: 0, adapters: adapters, backward: true)
    }

    /// Sets of activations on the device of a part.
    func activationSets(_ part: DecoderPart) -> Int {
        part.isEmpty ? 0 : checkpointing.recomputes ? 1 : part.layers.count
    }

    /// Bytes of activations on the device of a part.
    package func byteCount(_ description: DecoderDescription, part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        let shape = description.shape
        let hiddenBytes = rows * shape.hidden * 4
        let sets = activationSets(part)
        // A set of activations and the rows of one micro-batch stand in the workspace already. Beside them stand those
        // of the other micro-batches, their gradients and, with the head, the norm of the last layer's value.
        return workspace.byteCount(description, part: part)
            + sets * PassCache.byteCount(pages: pages, shape: shape, backward: true)
            + (sets - 1) * LayerActivations.byteCount(rows: rows, shape: shape, backward: true)
            + LayerGradients.byteCount(rows: rows, shape: shape)
            + (joined - 1 + joined + (part.holdsHead ? 1 : 0)) * hiddenBytes
            + KeptInputs.byteCount(self, part: part, hidden: shape.hidden)
            + (part.holdsHead
                ? LossHead.byteCount(
                    vocabulary: description.headOutputs, rows: rows, description.headTransform,
                    backward: true) : 0)
    }

    /// Bytes of the temporary file.
    package func diskBytes(_ description: DecoderDescription) -> Int {
        checkpointing == .disk
            ? description.layers * joined
                * KeptInputs.slotBytes(rows: rows, hidden: description.shape.hidden)
            : 0
    }
}
