// SPDX-License-Identifier: Apache-2.0
// Which places hold the states behind known contents.

/// Places of states, each behind the tokens that a content ends. The one that was used longest ago goes first.
struct StateSnapshots: Sendable {
    private var found: [UInt64: Int] = [:]
    private var contents: [Int: UInt64] = [:]
    private(set) var free: [Int]
    private var order: IdlePages

    /// Places that hold nothing.
    init(count: Int) {
        free = Array((0..<count).reversed())
        order = IdlePages(count: count)
    }

    /// Whether the state behind a content is kept.
    func holds(_ content: UInt64) -> Bool { found[content] != nil }

    /// The place of the state behind a content, which counts as used now; nil when it is not kept.
    mutating func use(_ content: UInt64) -> Int? {
        guard let place = found[content] else { return nil }
        order.remove(place)
        order.insertNewest(place)
        return place
    }

    /// A place for the state behind a content.
    /// - Parameter old: a content whose state need not be kept any longer.
    /// - Returns: nil where the state is kept already, or where there are no places.
    mutating func take(for content: UInt64, insteadOf old: UInt64?) -> Int? {
        guard use(content) == nil else { return nil }
        if let old { forget(old) }
        guard let place = free.popLast() ?? order.oldest else { return nil }
        if let last = contents[place] {
            found[last] = nil
            order.remove(place)
        }
        found[content] = place
        contents[place] = content
        order.insertNewest(place)
        return place
    }

    /// The state behind a content need not be kept any longer.
    mutating func forget(_ content: UInt64) {
        guard let place = found.removeValue(forKey: content) else { return }
        contents[place] = nil
        order.remove(place)
        free.append(place)
    }

    /// Forgets all states.
    mutating func forgetAll() {
        for content in Array(found.keys) { forget(content) }
    }
}
