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
        adapters: AdapterWidths, kvType: KVType
    ) -> Int {
        guard !part.isEmpty else { return 0 }
        return need(rows: rows, adapters: adapters).byteCount(description, part: part)
            + PassCache.byteCount(
                pages: pages(rows: rows, sequences: sequences), shape: description.shape,
                backward: false, kvType: kvType)
            + (part.holdsHead
                ? LossHead.byteCount(
                    vocabulary: description.headOutputs, rows: rows, description.headTransform,
                    backward: false) : 0)
    }

    private static func pages(rows: Int, sequences: Int) -> Int {
        EftNN.pageCount(tokens: rows) + sequences
    }

    private static func need(rows: Int, adapters: AdapterWidths) -> DecoderWorkspaceNeed {
        DecoderWorkspaceNeed(rows: rows, logitRows: 0, adapters: adapters)
    }

    /// Takes the memory.
    /// - Parameter kvType: how keys and values are held between being written and read.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        decoder: Decoder, rows: Int, sequences: Int, kvType: KVType = .f32
    ) throws(TensorError) {
        self.decoder = decoder
        workspace = try DecoderWorkspace(
            EvaluationPass.need(rows: rows, adapters: decoder.adapterWidths),
            decoder: decoder)
        var caches: [PassCache] = []
        for (device, part) in zip(decoder.devices, decoder.parts) where !part.isEmpty {
            let cache = try PassCache(
                pageCount: EvaluationPass.pages(rows: rows, sequences: sequences),
                shape: decoder.description.shape, backward: false, kvType: kvType,
                ledger: device.ledger)
            caches += part.layers.map { _ in cache }
        }
        cache = SplitPassCache(caches)
        lossHead = try LossHead(
            head: decoder.head, transform: decoder.description.headTransform, rows: rows,
            backward: false, ledger: decoder.devices[decoder.headDevice].ledger)
    }

    /// The loss of each row, whose label is the token to predict there (negative: no loss).
    package func losses(_ batch: DecoderBatch, labels: [Int32]) throws -> [Float] {
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        return try lossHead.losses(
            hidden: normed(hidden), labels: labels, gradientScale: 0, gradient: nil, pass(batch))
    }

    /// The losses of some rows of sequences that may share pages.
    /// - Parameters:
    ///   - table: for each sequence the numbers of its pages; see `SharedPassCache`.
    ///   - labels: rows in ascending order, and the token to predict at each.
    package func losses(
        _ batch: DecoderBatch, table: [[Int]], labels: [(row: Int, token: Int32)]
    ) throws -> [Float] {
        let rows = labels.map(\.row)
        let hidden = try decoder.forward(
            batch, keeping: rows, cache: SharedPassCache(cache, table: table),
            workspace: workspace)
        hidden.pack(rows, of: hidden)
        return try lossHead.losses(
            hidden: normed(hidden.rows(0..<rows.count)), labels: labels.map(\.token),
            gradientScale: 0, gradient: nil, pass(batch.keeping(rows)))
    }

    /// What the head gives for some rows, ascending: `[rows.count][V]`, or as many scores each.
    package func values(_ batch: DecoderBatch, rows: [Int]) throws -> [Float] {
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        hidden.pack(rows, of: hidden)
        let packed = normed(hidden.rows(0..<rows.count))
        return try lossHead.values(
            hidden: packed, rows: Array(rows.indices), pass(batch.keeping(rows)))
    }

    /// The same pass layer by layer.
    func walk(_ batch: DecoderBatch) throws -> DecoderWalk {
        try DecoderWalk(decoder, batch, cache: cache, workspace: workspace)
    }

    /// The last norm in place of the states on the head's device.
    func normed(_ hidden: Matrix) -> Matrix {
        decoder.finalNorm.forward(
            hidden, into: hidden, workspace[decoder.headDevice].backend)
        return hidden
    }

    /// The chunks in which rows go through the head.
    func chunks(of rows: Int) -> [Range<Int>] { lossHead.chunks(of: rows) }

    /// The logits of one chunk of normed states; the next chunk overwrites them.
    func logits(_ normed: Matrix, rows: Range<Int>, _ batch: DecoderBatch) throws -> Matrix {
        try lossHead.logits(normed, rows: rows, pass(batch))
    }

    /// A batch's pass through the head.
    private func pass(_ batch: DecoderBatch) -> Pass {
        let place = workspace[decoder.headDevice]
        return Pass(
            backend: place.backend, adapterSegments: batch.adapterSegments,
            adapterScratch: place.adapterScratch)
    }
}
