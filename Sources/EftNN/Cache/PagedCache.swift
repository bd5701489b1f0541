// SPDX-License-Identifier: Apache-2.0
// The KV cache of generation: a pool of pages, handed to sequences as they grow.
import EftTensor
import Synchronization

/// A pool of pages for every layer; a page index means the same 16 tokens in all layers.
///
/// The ledger holds the whole pool from the start. Memory is taken when pages are first used, in groups of pages that lie
/// together with all their layers, so that a group can be given back in one piece.
package final class PagedCache: KVCache {
    package let kvType: KVType
    /// Pages of the pool.
    package let pageCount: Int
    private let pools: [Pool]
    /// The pool of each layer and its place there; the pool -1 of layers without pages.
    private let places: [(pool: Int, layer: Int)]
    /// Layers with pages.
    private let paged: Int
    private let pageBytes: Int
    private let groupSize: Int
    private let table: Mutex<PageTable>
    private let sequenceStates: SequenceStates?

    /// Whether layers keep states of sequences, which pages alone cannot bring back.
    package var keepsStates: Bool { sequenceStates != nil }

    /// Bytes of a pool for all layers.
    package static func byteCount(
        pages: Int, layers: Int, shape: DecoderShape, kvType: KVType
    ) -> Int {
        pages * layers * kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
    }

    /// Allocates a pool on one device.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package convenience init(
        pageCount: Int, layers: Int, shape: DecoderShape, kvType: KVType, ledger: MemoryLedger?,
        states: StateNeed? = nil
    ) throws(TensorError) {
        try self.init(
            pageCount: pageCount, ledgers: Array(repeating: ledger, count: layers), shape: shape,
            kvType: kvType, states: states)
    }

    /// Allocates a pool, each layer's pages on the device of that layer.
    /// - Parameters:
    ///   - ledgers: the account of each layer's device.
    ///   - states: which layers keep states of sequences in the place of pages; none when nil.
    ///   - groupSize: pages that become resident together; what makes about a large page of the system when nil.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(
        pageCount: Int, ledgers: [MemoryLedger?], shape: DecoderShape, kvType: KVType,
        states: StateNeed? = nil, groupSize: Int? = nil
    ) throws(TensorError) {
        self.kvType = kvType
        self.pageCount = pageCount
        pageBytes = kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
        var counts: [(ledger: MemoryLedger?, layers: Int)] = []
        var places: [(pool: Int, layer: Int)] = []
        for (layer, ledger) in ledgers.enumerated() {
            guard states?.layers[layer] != true else {
                places.append((-1, 0))
                continue
            }
            let known = counts.firstIndex { $0.ledger === ledger }
            let pool = known ?? counts.count
            if known == nil { counts.append((ledger, 0)) }
            places.append((pool, counts[pool].layers))
            counts[pool].layers += 1
        }
        var pools: [Pool] = []
        for (ledger, layers) in counts {
            let buffer = try Buffer(
                byteCount: pageBytes * pageCount * layers, ledger: ledger, purpose: .kvCache,
                residency: .onUse)
            pools.append(Pool(buffer: buffer, layers: layers))
        }
        self.pools = pools
        self.places = places
        sequenceStates = try states.map { need throws(TensorError) in
            try SequenceStates(need, ledgers: ledgers)
        }
        paged = places.count { $0.pool >= 0 }
        self.groupSize =
            groupSize ?? PagedCache.groupSize(pageBytes: pageBytes * paged)
        table = Mutex(PageTable(pageCount: pageCount, groupSize: self.groupSize))
    }

    /// The pages of one device.
    private struct Pool {
        let buffer: Buffer
        let layers: Int
    }

    /// Bytes of a group at least: what the system has as a large page.
    private static let groupBytes = 2 << 20

    /// Pages of a group when a page takes so many bytes in all layers together.
    static func groupSize(pageBytes: Int) -> Int {
        max(1, (groupBytes + pageBytes - 1) / max(pageBytes, 1))
    }

    /// Where a page of a layer begins in its pool: group by group, in a group layer by layer.
    private func offset(page: Int, layer: Int, layers: Int) -> Int {
        let first = page / groupSize * groupSize
        let size = min(groupSize, pageCount - first)
        return (first * layers + layer * size + page - first) * pageBytes
    }

    // MARK: Memory

    /// Gives the memory of pages back that were not used since a time, whatever they hold; only between two passes.
    /// - Returns: bytes that were given back.
    @discardableResult
    package func giveBack(unusedSince time: ContinuousClock.Instant) -> Int {
        let states = sequenceStates?.giveBack() ?? 0
        let cold = withTable { $0.coolDown(unusedSince: time) }
        guard !cold.isEmpty else { return states }
        // Groups side by side go together, so that no large page is cut in two between them.
        var runs: [Range<Int>] = []
        for group in cold.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = runs.last, last.upperBound == group.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<group.upperBound
            } else {
                runs.append(group)
            }
        }
        var bytes = states
        for pool in pools {
            let stride = pool.layers * pageBytes
            for run in runs {
                pool.buffer.discard(run.lowerBound * stride..<run.upperBound * stride)
                bytes += run.count * stride
            }
        }
        return bytes
    }

    /// Bytes of the pages that are resident.
    package var residentBytes: Int {
        withTable { $0.residentPages } * pageBytes * paged
    }

    // MARK: Pages

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
    package func release(sequence: Int) {
        sequenceStates?.release(sequence: sequence)
        withTable { $0.release(sequence: sequence) }
    }

    package func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?] {
        guard let sequenceStates else { return batch.runs.map { _ in nil } }
        return sequenceStates.states(layer: layer, batch: batch)
    }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        let place = places[layer]
        let pool = pools[place.pool]
        let base = pool.buffer.base
        return table.withLock { table in
            batch.runs.map { run in
                let needed = EftNN.pageCount(tokens: run.firstPosition + run.rows.count)
                let held = table.pages(of: run.sequence)
                precondition(held.count >= needed, "a sequence was not given its pages")
                return AttentionRun(
                    rows: run.rows, firstPosition: run.firstPosition,
                    pages: PageList(
                        held.prefix(needed).map {
                            base + offset(page: $0, layer: place.layer, layers: pool.layers)
                        }))
            }
        }
    }
}
