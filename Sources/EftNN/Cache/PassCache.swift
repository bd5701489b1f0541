// SPDX-License-Identifier: Apache-2.0
// Keys and values that live for one layer of one pass: training and evaluation of whole sequences.
import EftTensor

/// Pages for whole sequences, used again by every layer, with gradients when there is a backward pass. They hold f32 unless
/// a pass is to see what a narrower cache makes of keys and values.
///
/// A layer writes its keys and values before it reads them, so that one layer's memory serves all.
package final class PassCache: KVCache {
    package let kvType: KVType
    private let pages: Buffer
    private let gradients: Buffer?
    private let pageBytes: Int

    /// Bytes for a number of pages.
    package static func byteCount(
        pages: Int, shape: DecoderShape, backward: Bool, kvType: KVType = .f32
    ) -> Int {
        pages * kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
            * (backward ? 2 : 1)
    }

    /// Allocates `pageCount` pages.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package init(
        pageCount: Int, shape: DecoderShape, backward: Bool, kvType: KVType = .f32,
        ledger: MemoryLedger?
    ) throws(TensorError) {
        precondition(!backward || kvType == .f32, "the backward pass reads f32 pages")
        self.kvType = kvType
        pageBytes = kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
        pages = try Buffer(
            byteCount: pageBytes * pageCount, ledger: ledger, purpose: .activations)
        gradients =
            backward
            ? try Buffer(byteCount: pageBytes * pageCount, ledger: ledger, purpose: .activations)
            : nil
    }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        var next = 0
        return batch.runs.map { run in
            precondition(run.firstPosition == 0, "a pass holds whole sequences")
            let count = EftNN.pageCount(tokens: run.rows.count)
            let range = next..<next + count
            next += count
            precondition(next * pageBytes <= pages.byteCount, "more pages than allocated")
            return AttentionRun(
                rows: run.rows, firstPosition: 0, pages: list(range, in: pages),
                gradientPages: gradients.map { list(range, in: $0) })
        }
    }

    /// Sets gradients to zero, before a layer's backward pass adds to them.
    package func zeroGradients() {
        guard let gradients else { return }
        gradients.floats.update(repeating: 0, count: gradients.floatCount)
    }

    /// Pages by number.
    package func list(_ numbers: [Int]) -> PageList {
        precondition(
            numbers.allSatisfy { $0 >= 0 && ($0 + 1) * pageBytes <= pages.byteCount },
            "more pages than allocated")
        return PageList(numbers.map { pages.base + $0 * pageBytes })
    }

    private func list(_ range: Range<Int>, in buffer: Buffer) -> PageList {
        PageList(range.map { buffer.base + $0 * pageBytes })
    }
}
