// SPDX-License-Identifier: Apache-2.0
// The KV cache of generation: a pool of pages, handed to sequences as they grow.
import EftTensor
import Synchronization

/// A pool of pages for every layer; a page index means the same 16 tokens in all layers of a group (`PagePlan`).
///
/// The ledger holds the whole pool from the start. Memory is taken when pages are first used, in groups of pages that lie
/// together with all their layers, so that a group can be given back in one piece.
package final class PagedCache: KVCache {
    package let kvType: KVType
    /// Pages of each layer that sees all positions.
    package let pageCount: Int
    private let plan: PagePlan
    private let pools: [Pool]
    /// The pool of each layer and its place there; nil for layers without pages.
    private let places: [(pool: Int, layer: Int)?]
    private let pageBytes: Int
    /// Pages that become resident together, of each group of layers.
    private let groupSizes: [Int]
    private let table: Mutex<PageTable>
    private let sequenceStates: SequenceStates?

    private let stateNeed: StateNeed?

    /// Whether layers keep states of sequences, which pages alone cannot bring back.
    package var keepsStates: Bool { stateNeed != nil }
    /// Whether sequences can go on from what others began with.
    package var keepsPrefixes: Bool { stateNeed.map { $0.snapshots > 0 } ?? true }
    /// Whether sequences can go back by some tokens.
    package var goesBack: Bool { stateNeed.map(\.hasBackups) ?? true }

    /// Bytes of a pool for all layers.
    package static func byteCount(
        pages: Int, layers: Int, shape: DecoderShape, kvType: KVType
    ) -> Int {
        pages * layers * kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
    }

    /// Allocates a pool on one device, as many pages for each layer.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package convenience init(
        pageCount: Int, layers: Int, shape: DecoderShape, kvType: KVType, ledger: MemoryLedger?,
        states: StateNeed? = nil
    ) throws(TensorError) {
        try self.init(
            pageCount: pageCount, ledgers: Array(repeating: ledger, count: layers), shape: shape,
            kvType: kvType, states: states)
    }

    /// Allocates a pool, as many pages for each layer.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package convenience init(
        pageCount: Int, ledgers: [MemoryLedger?], shape: DecoderShape, kvType: KVType,
        states: StateNeed? = nil, groupSize: Int? = nil
    ) throws(TensorError) {
        let isPaged = ledgers.indices.map { states?.layers[$0] != true }
        try self.init(
            PagePlan(pages: pageCount, isPaged: isPaged), ledgers: ledgers, shape: shape,
            kvType: kvType, states: states, groupSize: groupSize)
    }

    /// Allocates the pages of a plan, each layer's on the device of that layer.
    /// - Parameters:
    ///   - ledgers: the account of each layer's device.
    ///   - states: which layers keep states of sequences in the place of pages; none when nil.
    ///   - groupSize: pages that become resident together; what makes about a large page of the system when nil.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(
        _ plan: PagePlan, ledgers: [MemoryLedger?], shape: DecoderShape, kvType: KVType,
        states: StateNeed? = nil, groupSize: Int? = nil
    ) throws(TensorError) {
        precondition(plan.layers.count == ledgers.count, "a ledger for each layer")
        self.kvType = kvType
        self.plan = plan
        pageCount = plan.pages
        pageBytes = kvType.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
        var counts: [(ledger: MemoryLedger?, group: Int, layers: Int)] = []
        var places: [(pool: Int, layer: Int)?] = []
        for (group, ledger) in zip(plan.layers, ledgers) {
            guard let group else {
                places.append(nil)
                continue
            }
            let known = counts.firstIndex { $0.ledger === ledger && $0.group == group }
            let pool = known ?? counts.count
            if known == nil { counts.append((ledger, group, 0)) }
            places.append((pool, counts[pool].layers))
            counts[pool].layers += 1
        }
        var pools: [Pool] = []
        for (ledger, group, layers) in counts {
            let buffer = try Buffer(
                byteCount: pageBytes * plan.groups[group].pages * layers, ledger: ledger,
                purpose: .kvCache, residency: .onUse)
            pools.append(Pool(buffer: buffer, group: group, layers: layers))
        }
        self.pools = pools
        self.places = places
        stateNeed = states
        sequenceStates = try states.map { need throws(TensorError) in
            try SequenceStates(need, ledgers: ledgers)
        }
        let bytes = pageBytes
        groupSizes = plan.groups.indices.map { group in
            let layers = plan.layers.count { $0 == group }
            return groupSize ?? PagedCache.groupSize(pageBytes: bytes * layers)
        }
        table = Mutex(
            PageTable(plan, groupSizes: groupSizes, snapshots: states.map(\.snapshots)))
    }

    /// The pages of one group of layers on one device.
    private struct Pool {
        let buffer: Buffer
        let group: Int
        let layers: Int
    }

    /// Bytes of a group at least: what the system has as a large page.
    private static let groupBytes = 2 << 20

    /// Pages of a group when a page takes so many bytes in all layers together.
    static func groupSize(pageBytes: Int) -> Int {
        max(1, (groupBytes + pageBytes - 1) / max(pageBytes, 1))
    }

    /// Where a page of a layer begins in its pool: group by group, in a group layer by layer.
    private func offset(page: Int, layer: Int, in pool: Pool) -> Int {
        let groupSize = groupSizes[pool.group]
        let first = page / groupSize * groupSize
        let size = min(groupSize, plan.groups[pool.group].pages - first)
        return (first * pool.layers + layer * size + page - first) * pageBytes
    }

    // MARK: Memory

    /// Gives the memory of pages back that were not used since a time, whatever they hold; only between two passes.
    /// - Returns: bytes that were given back.
    @discardableResult
    package func giveBack(unusedSince time: ContinuousClock.Instant) -> Int {
        let pages = plan.groups.indices.reduce(0) { bytes, group in
            let cold = withTable { $0.coolDown(group: group, unusedSince: time) }
            return bytes + discard(cold, group: group)
        }
        let empty = withTable { $0.emptyStates }
        return pages + (sequenceStates?.giveBack(snapshots: empty) ?? 0)
    }

    /// Gives the memory of some pages back.
    /// - Returns: bytes that were given back.
    private func discard(_ cold: [Range<Int>], group: Int) -> Int {
        // Groups side by side go together, so that no large page is cut in two between them.
        var runs: [Range<Int>] = []
        for pages in cold.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = runs.last, last.upperBound == pages.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<pages.upperBound
            } else {
                runs.append(pages)
            }
        }
        var bytes = 0
        for pool in pools where pool.group == group {
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
        let groups = withTable { $0.groups }
        return pools.reduce(0) { $0 + groups[$1.group].resident * $1.layers * pageBytes }
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

    // MARK: States

    /// Begins a sequence with the pages whose contents are its first tokens, and the state behind them.
    /// - Parameter most: how many of its tokens may be taken at most.
    /// - Returns: the tokens that need not be computed, a multiple of 16.
    package func begin(
        sequence: Int, root: PageTable.Root, tokens: [Int32], most: Int
    ) -> Int {
        let (count, snapshot) = withTable { table in
            let count = table.begin(sequence: sequence, root: root, tokens: tokens, most: most)
            return (count, table.beginning(of: sequence))
        }
        if let snapshot { sequenceStates?.load(snapshot, into: sequence) }
        return count
    }

    /// Keeps the state behind a sequence's first `computed` tokens, where they fill pages whose contents are known.
    /// - Parameter isAnswer: whether they are more than the prompt.
    package func keepState(sequence: Int, computed: Int, isAnswer: Bool) {
        guard let sequenceStates else { return }
        let place = withTable {
            $0.keepState(sequence: sequence, computed: computed, isAnswer: isAnswer)
        }
        if let place { sequenceStates.save(sequence, in: place) }
    }

    /// Whether there is a state for a sequence; true where layers keep none.
    package func canHold(sequence: Int) -> Bool { sequenceStates?.canHold(sequence) ?? true }

    /// Keeps a sequence's state for `restore`; nothing where layers keep none.
    package func backUp(sequence: Int) { sequenceStates?.backUp(sequence) }

    /// Gives a sequence the state back that it had at `backUp`.
    package func restore(sequence: Int) { sequenceStates?.restore(sequence) }

    package func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?] {
        guard let sequenceStates else { return batch.runs.map { _ in nil } }
        return sequenceStates.states(layer: layer, batch: batch)
    }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        guard let place = places[layer] else {
            preconditionFailure("layer \(layer) has no pages")
        }
        let pool = pools[place.pool]
        let base = pool.buffer.base
        return table.withLock { table in
            batch.runs.map { run in
                let needed = EftNN.pageCount(tokens: run.firstPosition + run.rows.count)
                let (first, held) = table.span(of: run.sequence, group: pool.group)
                precondition(first + held.count >= needed, "a sequence was not given its pages")
                precondition(
                    table.reaches(sequence: run.sequence, position: run.firstPosition),
                    "a sequence's pages were left that its rows see")
                // No row sees the pages that were left, but caches of the processor may be filled from their addresses.
                let gone = [UnsafeMutableRawPointer?](repeating: base, count: first)
                let addresses = held.prefix(needed - first).map {
                    base + offset(page: $0, layer: place.layer, in: pool)
                }
                return AttentionRun(
                    rows: run.rows, firstPosition: run.firstPosition,
                    pages: PageList(gone + addresses))
            }
        }
    }
}
