// SPDX-License-Identifier: Apache-2.0
// Merging the symbols of one word, in O(n log n).

/// The symbols of a word as a linked list, and the merges that are possible as a heap.
struct MergeScratch: Sendable {
    private struct Symbol {
        /// The token, or -1 when it was merged into the one before it.
        var id: Int32
        var previous: Int32
        var next: Int32
    }

    private struct Candidate {
        /// Rank, then position: the order of merging.
        let key: UInt64
        let id: Int32
    }

    private var symbols: [Symbol] = []
    private var heap: [Candidate] = []

    /// Forgets the word and keeps the room.
    mutating func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
    }

    /// Appends a symbol; a word has fewer than 2^31 of them, as a text has no more bytes.
    mutating func append(_ id: Int32) {
        let index = Int32(truncatingIfNeeded: symbols.count)
        symbols.append(Symbol(id: id, previous: index &- 1, next: index &+ 1))
    }

    /// Appends what is left of the word to `ids`.
    func appendSymbols(to ids: inout [Int32]) {
        for symbol in symbols where symbol.id >= 0 { ids.append(symbol.id) }
    }

    /// Merges the pair of lowest rank, leftmost first, until none is left.
    mutating func merge(with merges: MergeTable) {
        let end = symbols.count
        guard end > 1 else { return }
        for left in 0..<(end &- 1) {
            if let merge = merges.merge(symbols[left].id, symbols[left &+ 1].id) {
                push(rank: merge.rank, at: left, id: merge.id)
            }
        }
        while let top = pop() {
            let left = Int(truncatingIfNeeded: top.key & 0xFFFF_FFFF)
            let right = Int(symbols[left].next)
            guard symbols[left].id >= 0, right < end else { continue }
            // A candidate is stale when its pair has changed since.
            guard let merge = merges.merge(symbols[left].id, symbols[right].id), merge.id == top.id
            else { continue }
            symbols[left].id = top.id
            symbols[right].id = -1
            let next = Int(symbols[right].next)
            symbols[left].next = Int32(truncatingIfNeeded: next)
            if next < end {
                symbols[next].previous = Int32(truncatingIfNeeded: left)
                if let merge = merges.merge(top.id, symbols[next].id) {
                    push(rank: merge.rank, at: left, id: merge.id)
                }
            }
            let previous = Int(symbols[left].previous)
            if previous >= 0, let merge = merges.merge(symbols[previous].id, top.id) {
                push(rank: merge.rank, at: previous, id: merge.id)
            }
        }
    }

    private mutating func push(rank: UInt32, at position: Int, id: Int32) {
        let key = UInt64(rank) << 32 | UInt64(truncatingIfNeeded: position)
        var child = heap.count
        let candidate = Candidate(key: key, id: id)
        heap.append(candidate)
        while child > 0 {
            let parent = (child &- 1) / 2
            if heap[parent].key <= key { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = candidate
    }

    private mutating func pop() -> Candidate? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return top }
        var parent = 0
        while true {
            var child = parent &* 2 &+ 1
            if child >= heap.count { break }
            if child &+ 1 < heap.count && heap[child &+ 1].key < heap[child].key { child &+= 1 }
            if heap[child].key >= last.key { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return top
    }
}
