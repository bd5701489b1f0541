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
    private let state: Mutex<State>

    private struct State {
        var free: [Int]
        var sequences: [Int: [Int]] = [:]
    }

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
        state = Mutex(State(free: Array((0..<pageCount).reversed())))
    }

    /// Pages that no sequence holds.
    package var freePages: Int { state.withLock { $0.free.count } }

    /// Gives a sequence the pages it needs to hold `tokens` tokens; false, and nothing changed, when there are too few.
    package func extend(sequence: Int, to tokens: Int) -> Bool {
        state.withLock { state in
            let held = state.sequences[sequence, default: []]
            let missing = EftNN.pageCount(tokens: tokens) - held.count
            guard missing > 0 else { return true }
            guard state.free.count >= missing else { return false }
            state.sequences[sequence] = held + state.free.suffix(missing).reversed()
            state.free.removeLast(missing)
            return true
        }
    }

    /// Takes a sequence's pages back.
    package func release(sequence: Int) {
        state.withLock { state in
            guard let pages = state.sequences.removeValue(forKey: sequence) else { return }
            state.free.append(contentsOf: pages.reversed())
        }
    }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        let base = layers[layer].base
        return state.withLock { state in
            batch.runs.map { run in
                let needed = EftNN.pageCount(tokens: run.firstPosition + run.rows.count)
                let held = state.sequences[run.sequence, default: []]
                precondition(held.count >= needed, "a sequence was not given its pages")
                return AttentionRun(
                    rows: run.rows, firstPosition: run.firstPosition,
                    pages: PageList(held.prefix(needed).map { base + $0 * pageBytes }))
            }
        }
    }
}
