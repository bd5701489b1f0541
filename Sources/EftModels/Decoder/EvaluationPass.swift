// SPDX-License-Identifier: Apache-2.0
// Losses of whole sequences without a backward pass.
import EftNN
import EftTensor

/// Computes the loss of every token of whole sequences; no cache outlives a layer.
package final class EvaluationPass: Sendable {
    private let decoder: Decoder
    private let workspace: DecoderWorkspace
    private let cache: PassCache
    private let lossHead: LossHead

    /// Bytes of activations for batches of `rows` tokens in at most `sequences` sequences.
    package static func byteCount(
        _ description: DecoderDescription, rows: Int, sequences: Int, adapterRank: Int
    ) -> Int {
        need(rows: rows, adapterRank: adapterRank).byteCount(description)
            + PassCache.byteCount(
                pages: pageCount(tokens: rows) + sequences, shape: description.shape,
                backward: false)
            + LossHead.byteCount(vocabulary: description.vocabulary, rows: rows)
    }

    private static func need(rows: Int, adapterRank: Int) -> DecoderWorkspaceNeed {
        DecoderWorkspaceNeed(rows: rows, logitRows: 0, adapterRank: adapterRank)
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, rows: Int, sequences: Int) throws(TensorError) {
        let (description, ledger) = (decoder.description, decoder.backend.ledger)
        self.decoder = decoder
        workspace = try DecoderWorkspace(
            EvaluationPass.need(rows: rows, adapterRank: decoder.adapterExtents.rank),
            description: description, backend: decoder.backend)
        cache = try PassCache(
            pageCount: pageCount(tokens: rows) + sequences, shape: description.shape,
            backward: false, ledger: ledger)
        lossHead = try LossHead(head: decoder.head, rows: rows, ledger: ledger)
    }

    /// The loss of each row, whose label is the token to predict there (negative: no loss).
    package func losses(_ batch: DecoderBatch, labels: [Int32]) throws -> [Float] {
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        decoder.finalNorm.forward(
            hidden, into: hidden, epsilon: decoder.description.shape.normEpsilon, decoder.backend)
        let pass = Pass(
            backend: decoder.backend, adapterSegments: batch.adapterSegments,
            adapterScratch: workspace.adapterScratch)
        return try lossHead.losses(
            hidden: hidden, labels: labels, gradientScale: 0, gradient: nil, pass)
    }
}
