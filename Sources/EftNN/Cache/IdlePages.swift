// SPDX-License-Identifier: Apache-2.0
// Pages without a user, in order.

/// Pages without a user, in the order in which they were left: a doubly linked list over their numbers.
struct IdlePages: Sendable {
    private var before: [Int]
    private var after: [Int]
    /// Pages in the list.
    private(set) var count: Int
    /// The place of both ends; one more than the last page.
    private var end: Int { before.count - 1 }

    /// A list without pages, for so many of them.
    init(count: Int) {
        self.count = 0
        before = Array(repeating: count, count: count + 1)
        after = before
    }

    /// The page that comes first; nil when there is none.
    var oldest: Int? { count == 0 ? nil : after[end] }

    mutating func remove(_ page: Int) {
        after[before[page]] = after[page]
        before[after[page]] = before[page]
        count -= 1
    }

    mutating func popOldest() -> Int? {
        let page = after[end]
        guard count > 0 else { return nil }
        remove(page)
        return page
    }

    mutating func insertNewest(_ page: Int) { insert(page, between: before[end], end) }

    mutating func insertOldest(_ page: Int) { insert(page, between: end, after[end]) }

    private mutating func insert(_ page: Int, between first: Int, _ second: Int) {
        after[first] = page
        before[page] = first
        after[page] = second
        before[second] = page
        count += 1
    }
}
