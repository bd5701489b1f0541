// SPDX-License-Identifier: Apache-2.0
// The KV cache of generation: a pool of pages, handed to sequences as they grow.
import EftTensor
import Synchronization

/// A pool of pages for every layer; a page index means the same 16 tokens in all layers.
package final class PagedCache: KVCache {
    package let kvType: KVType
    /// Pages of the pool.
    package let pageCount: Int
    private let layers: [Buffer]
    private let pageBytes: Int
    private let table: Mutex<PageTable>

    /// Bytes of a pool for all layers.
    package static func byteCount(
        pages: Int, layers: Int, shape: DecoderShape, kvType: KVType
    ) -> Int {
        pages * layers * kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
    }

    /// Allocates a pool on one device.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package convenience init(
        pageCount: Int, layers: Int, shape: DecoderShape, kvType: KVType, ledger: MemoryLedger?
    ) throws(TensorError) {
        try self.init(
            pageCount: pageCount, ledgers: Array(repeating: ledger, count: layers), shape: shape,
            kvType: kvType)
    }

    /// Allocates a pool, each layer's pages on the device of that layer.
    /// - Parameter ledgers: the account of each layer's device.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(
        pageCount: Int, ledgers: [MemoryLedger?], shape: DecoderShape, kvType: KVType
    ) throws(TensorError) {
        self.kvType = kvType
        self.pageCount = pageCount
        pageBytes = kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
        var buffers: [Buffer] = []
        for ledger in ledgers {
            buffers.append(
                try Buffer(byteCount: pageBytes * pageCount, ledger: ledger, purpose: .kvCache))
        }
        self.layers = buffers
        table = Mutex(PageTable(pageCount: pageCount))
    }

    /// Reads or changes the table of pages, alone.
    package func withTable<R: Sendable>(_ body: (inout PageTable) -> R) -> R {
        table.withLock { body(&$0) }
    }

    /// Pages that no sequence holds.
    package var freePages: Int { withTable { $0.freePages } }

    /// Gives a sequence the pages it needs to hold `tokens` tokens; false, and nothing changed, when there are too few.
    package func extend(sequence: Int, to tokens: Int) -> Bool {
        withTable { $0.extend(sequence: sequence, to: tokens) }
    }

    /// Takes a sequence's pages back.
    package func release(sequence: Int) { withTable { $0.release(sequence: sequence) } }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        let base = layers[layer].base
        return table.withLock { table in
            batch.runs.map { run in
                let needed = EftNN.pageCount(tokens: run.firstPosition + run.rows.count)
                let held = table.pages(of: run.sequence)
                precondition(held.count >= needed, "a sequence was not given its pages")
                return AttentionRun(
                    rows: run.rows, firstPosition: run.firstPosition,
                    pages: PageList(held.prefix(needed).map { base + $0 * pageBytes }))
            }
        }
    }
}
