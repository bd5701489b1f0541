// SPDX-License-Identifier: Apache-2.0
// Drafts of next tokens from the sequence itself (prompt look-up).
import EftTensor

/// Proposes the tokens that followed the most recent earlier occurrence of the sequence's end.
///
/// Of the sizes the longest whose last tokens occurred before counts. A token costs one table look-up a size; memory is at
/// most 4 + 16 bytes a size for each token.
package struct NGramProposer: Sendable {
    private let sizes: ClosedRange<Int>
    private var tokens: [Int32] = []
    /// One for each size, the smallest first.
    private var tables: [NGramTable]

    /// Makes a proposer that looks for the last `sizes` tokens; sizes lie between 1 and 16.
    package init(sizes: ClosedRange<Int> = 2...4) {
        let least = min(max(sizes.lowerBound, 1), 16)
        self.sizes = least...max(least, min(sizes.upperBound, 16))
        tables = self.sizes.map { NGramTable(size: $0) }
    }

    /// Tokens so far.
    package var count: Int { tokens.count }

    /// Takes tokens that belong to the sequence: its prompt, then each one that was accepted.
    package mutating func append(_ new: some Sequence<Int32>) {
        for token in new {
            // What ends here is entered once a token follows it, so that the sequence's end does not find itself.
            for index in tables.indices { tables[index].enter(end: tokens.count, tokens) }
            tokens.append(token)
        }
    }

    /// At most `count` tokens that may follow; none when the end is new. Where the earlier occurrence reaches the
    /// sequence's end, what is proposed goes on as its continuation.
    package func propose(_ count: Int) -> [Int32] {
        guard count > 0 else { return [] }
        for table in tables.reversed() {
            guard let end = table.latest(tokens) else { continue }
            var proposed: [Int32] = []
            for place in end..<end + count {
                proposed.append(
                    place < tokens.count ? tokens[place] : proposed[place - tokens.count])
            }
            return proposed
        }
        return []
    }
}

/// Where each n-gram of one size ended last: open addressing, at most half full.
private struct NGramTable: Sendable {
    private let size: Int
    /// The index after the n-gram's last token; 0 for a free slot.
    private var slots = [Int32](repeating: 0, count: 16)
    private var filled = 0

    init(size: Int) { self.size = size }

    /// Enters the n-gram before `end` in place of an equal one.
    mutating func enter(end: Int, _ tokens: [Int32]) {
        guard end >= size, let place = Int32(exactly: end) else { return }
        if 2 * (filled + 1) > slots.count { grow(tokens) }
        let slot = slot(end, tokens)
        if slots[slot] == 0 { filled += 1 }
        slots[slot] = place
    }

    /// The index after the last entered n-gram that equals the last tokens.
    func latest(_ tokens: [Int32]) -> Int? {
        guard tokens.count >= size else { return nil }
        let found = Int(slots[slot(tokens.count, tokens)])
        return found == 0 ? nil : found
    }

    /// The slot of the n-gram before `end`, or the free one where it belongs.
    private func slot(_ end: Int, _ tokens: [Int32]) -> Int {
        var hash: UInt64 = 0
        for token in tokens[end - size..<end] {
            hash = SplitMix64.finalized(hash ^ UInt64(UInt32(bitPattern: token)) &+ 0x9E37_79B9)
        }
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0, !equal(Int(slots[slot]), end, tokens) {
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    private func equal(_ left: Int, _ right: Int, _ tokens: [Int32]) -> Bool {
        for back in 1...size where tokens[left - back] != tokens[right - back] { return false }
        return true
    }

    private mutating func grow(_ tokens: [Int32]) {
        let old = slots
        slots = [Int32](repeating: 0, count: old.count * 2)
        for end in old where end != 0 { slots[slot(Int(end), tokens)] = end }
    }
}
