// SPDX-License-Identifier: Apache-2.0
// Embedding and head that a PEFT adapter brings with it.
import EftFormats

/// The tensors of an adapter that stand in the place of the base's embedding and head.
///
/// PEFT saves them for `modules_to_save`, and when the vocabulary has grown (`save_embedding_layers`).
package struct SavedEnds: Sendable {
    /// The names of such modules in `modules_to_save`.
    package static let modules = ["embed_tokens", "lm_head"]

    /// The adapter's files.
    let checkpoint: any CheckpointReader
    /// The tensor of the embedding.
    let embedding: TensorInfo?
    /// The tensor of the head.
    let head: TensorInfo?

    private static let suffixes = [".weight", ".modules_to_save.weight", ".base_layer.weight"]

    /// Looks for them in an adapter's folder; nil when it has none.
    /// - Throws: `FormatError`, and `ModelError` (`mismatch`) for shapes that the base does not have.
    package init?(adapter folder: String, base: DecoderDescription) throws {
        let checkpoint = try CheckpointFolder.open(folder, kind: .adapter)
        self.checkpoint = checkpoint
        embedding = SavedEnds.find(base.embeddingName, checkpoint)
        head = SavedEnds.find(base.headName, checkpoint)
        let found = [embedding, head].compactMap { $0 }
        guard let first = found.first else { return nil }
        for tensor in found {
            let dims = tensor.shape.dims
            guard dims.count == 2, dims[1] == base.shape.hidden, dims[0] == first.shape.dims[0],
                dims[0] >= base.vocabulary, dims[0] <= 1 << 28, tensor.dtype.isFloatingPoint
            else {
                throw ModelError(
                    .mismatch,
                    "the adapter's tensor '\(tensor.name)' has shape \(tensor.shape) of "
                        + "\(tensor.dtype.rawValue), the base's is [\(base.vocabulary), "
                        + "\(base.shape.hidden)]; it was made for another base",
                    path: checkpoint.path)
            }
        }
    }

    private static func find(_ module: String, _ checkpoint: any CheckpointReader) -> TensorInfo? {
        suffixes.lazy.compactMap { checkpoint.find(AdapterFile.prefix + module + $0) }.first
    }

    /// Rows of the adapter's embedding and head.
    var vocabulary: Int { (embedding ?? head)?.shape.dims.first ?? 0 }

    /// The names of the tensors.
    package var names: [String] { [embedding, head].compactMap { $0?.name } }
}
