// SPDX-License-Identifier: Apache-2.0
// Losses of whole sequences without a backward pass.
import EftNN
import EftTensor

/// Computes the loss of every token of whole sequences; no cache outlives a layer.
package final class EvaluationPass: Sendable {
    private let decoder: Decoder
    private let workspace: DecoderWorkspace
    private let cache: SplitPassCache
    private let lossHead: LossHead

    /// Bytes of activations on the device of a part for batches of `rows` tokens in at most `sequences` sequences.
    package static func byteCount(
        _ description: DecoderDescription, part: DecoderPart, rows: Int, sequences: Int,
        adapterRank: Int
    ) -> Int {
        guard !part.isEmpty else { return 0 }
        return need(rows: rows, adapterRank: adapterRank).byteCount(description, part: part)
            + PassCache.byteCount(
                pages: pageCount(tokens: rows) + sequences, shape: description.shape,
                backward: false)
            + (part.holdsHead
                ? LossHead.byteCount(vocabulary: description.vocabulary, rows: rows) : 0)
    }

    private static func need(rows: Int, adapterRank: Int) -> DecoderWorkspaceNeed {
        DecoderWorkspaceNeed(rows: rows, logitRows: 0, adapterRank: adapterRank)
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, rows: Int, sequences: Int) throws(TensorError) {
        self.decoder = decoder
        workspace = try DecoderWorkspace(
            EvaluationPass.need(rows: rows, adapterRank: decoder.adapterExtents.rank),
            decoder: decoder)
        var caches: [PassCache] = []
        for (device, part) in zip(decoder.devices, decoder.parts) where !part.isEmpty {
            let cache = try PassCache(
                pageCount: pageCount(tokens: rows) + sequences, shape: decoder.description.shape,
                backward: false, ledger: device.ledger)
            caches += part.layers.map { _ in cache }
        }
        cache = SplitPassCache(caches)
        lossHead = try LossHead(
            head: decoder.head, rows: rows, ledger: decoder.devices[decoder.headDevice].ledger)
    }

    /// The loss of each row, whose label is the token to predict there (negative: no loss).
    package func losses(_ batch: DecoderBatch, labels: [Int32]) throws -> [Float] {
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        let place = workspace[decoder.headDevice]
        decoder.finalNorm.forward(
            hidden, into: hidden, epsilon: decoder.description.shape.normEpsilon, place.backend)
        let pass = Pass(
            backend: place.backend, adapterSegments: batch.adapterSegments,
            adapterScratch: place.adapterScratch)
        return try lossHead.losses(
            hidden: hidden, labels: labels, gradientScale: 0, gradient: nil, pass)
    }
}
