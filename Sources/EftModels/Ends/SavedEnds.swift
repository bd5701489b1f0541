// SPDX-License-Identifier: Apache-2.0
// Embedding and head that a PEFT adapter brings with it.
import EftFormats
import EftNN

/// The tensors of an adapter that stand in the place of the base's embedding and head.
///
/// PEFT saves them for `modules_to_save`, and when the vocabulary has grown (`save_embedding_layers`).
package struct SavedEnds: Sendable {
    /// The names of such modules in `modules_to_save`.
    package static let modules = ["embed_tokens", "lm_head"]

    /// The one of these modules that a name, maybe with its path, means; nil for others. Some families have other names
    /// for them.
    package static func module(named name: String) -> String? {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        if Parameter.embeddingNames.contains(last) { return "embed_tokens" }
        return Parameter.headNames.contains(last) ? "lm_head" : nil
    }

    /// The adapter's files.
    let checkpoint: any CheckpointReader
    /// The tensor of the embedding.
    let embedding: TensorInfo?
    /// The tensor of the head.
    let head: TensorInfo?
    /// Tokens whose rows were trained alone, and where those are.
    let tokens: TrainedTokenIDs
    let embeddingRows: TensorInfo?
    let headRows: TensorInfo?
    /// The tensors of a head that scores.
    private let scores: [TensorInfo]
    private let baseVocabulary: Int

    private static let infixes = [
        ".", ".modules_to_save.", ".base_layer.", ".token_adapter.base_layer.",
    ]

    /// The name under which trained rows of a module are saved.
    static func rowsName(_ module: String) -> String {
        AdapterFile.prefix + module + ".token_adapter.trainable_tokens_delta"
    }

    /// Looks for them in an adapter's folder; nil when it has none.
    /// - Parameter checkpoint: the adapter's files, where they are open already.
    /// - Throws: `FormatError`, and `ModelError` (`mismatch`) for shapes that the base does not have.
    package init?(
        adapter folder: String, in checkpoint: (any CheckpointReader)? = nil,
        base: DecoderDescription
    ) throws {
        let checkpoint = try checkpoint ?? CheckpointFolder.open(folder, kind: .adapter)
        self.checkpoint = checkpoint
        embedding = SavedEnds.find(base.embeddingName, checkpoint)
        head = base.scores == nil ? SavedEnds.find(base.headName, checkpoint) : nil
        scores =
            base.scores == nil
            ? []
            : ["weight", "bias"].compactMap { SavedEnds.find(base.headName, checkpoint, part: $0) }
        embeddingRows = checkpoint.find(SavedEnds.rowsName(base.embeddingName))
        headRows = checkpoint.find(SavedEnds.rowsName(base.headName))
        tokens =
            embeddingRows == nil && headRows == nil
            ? TrainedTokenIDs() : try AdapterConfig.read(folder: folder).trainedTokens
        baseVocabulary = base.vocabulary
        try SavedEnds.check(embeddingRows, tokens.embedding, base, checkpoint)
        // PEFT saves the rows of a tied head with the embedding's.
        try SavedEnds.check(headRows, tokens.head, base, checkpoint)
        let found = [embedding, head].compactMap { $0 }
        guard !found.isEmpty || !scores.isEmpty || embeddingRows != nil || headRows != nil
        else { return nil }
        for tensor in found {
            let dims = tensor.shape.dims
            guard dims.count == 2, dims[1] == base.shape.hidden, dims[0] == found[0].shape.dims[0],
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

    /// A tensor of a module under one of the names that PEFT gives it.
    static func find(
        _ module: String, _ checkpoint: any CheckpointReader, part: String = "weight"
    ) -> TensorInfo? {
        infixes.lazy.compactMap { checkpoint.find(AdapterFile.prefix + module + $0 + part) }.first
    }

    private static func check(
        _ rows: TensorInfo?, _ tokens: [Int32], _ base: DecoderDescription,
        _ checkpoint: any CheckpointReader
    ) throws(ModelError) {
        guard let rows else { return }
        guard rows.shape.dims == [tokens.count, base.shape.hidden], rows.dtype.isFloatingPoint
        else {
            throw ModelError(
                .mismatch,
                "the adapter's tensor '\(rows.name)' has shape \(rows.shape); trainable_token_indices and the "
                    + "base ask for [\(tokens.count), \(base.shape.hidden)]", path: checkpoint.path)
        }
    }

    /// Rows of the adapter's embedding and head.
    var vocabulary: Int {
        max((embedding ?? head)?.shape.dims.first ?? baseVocabulary, tokens.bound)
    }

    /// The names of the tensors.
    package var names: [String] {
        // A tied head may have its copy of the rows too.
        [embedding, head, embeddingRows, headRows].compactMap { $0?.name } + scores.map(\.name)
    }
}
