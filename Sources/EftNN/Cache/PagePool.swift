// SPDX-License-Identifier: Apache-2.0
// The pages of one group of layers: how many use each, and what it holds.
import EftTensor

/// Pages with counts of their users, and the numbers of the contents that stand in some of them.
struct PagePool: Sendable {
    /// Positions that a row of the layers sees; all when nil.
    let window: Int?
    private var users: [Int32]
    /// What the pages hold that can be found; most pages of a large cache never hold anything.
    private var contents: [Int: UInt64] = [:]
    private var found: [UInt64: Int] = [:]
    private var idle: IdlePages
    private var groups: PageGroups
    private var history: PageHistory?

    /// Pages that nobody uses, none of them resident.
    init(window: Int?, pageCount: Int, groupSize: Int) {
        self.window = window
        users = Array(repeating: 0, count: pageCount)
        idle = IdlePages(count: pageCount)
        groups = PageGroups(pageCount: pageCount, groupSize: groupSize)
    }

    var pageCount: Int { users.count }
    /// Pages without a user, those with a content and those that are not resident included.
    var freePages: Int { idle.count + groups.coldPages }
    var residentPages: Int { pageCount - groups.coldPages }
    var foundPages: Int { found.count }
    /// When the group of pages was left that nobody has used for the longest time; nil when all are in use.
    var oldestLeave: ContinuousClock.Instant? { groups.oldestLeave }

    /// The first page that a sequence's row at a position sees.
    func firstSeen(from position: Int) -> Int {
        guard let window, position >= window else { return 0 }
        return (position - window + 1) / pageTokens
    }

    /// The page that holds a content; nil when none does.
    func page(holding content: UInt64) -> Int? { found[content] }

    func isIdle(_ page: Int) -> Bool { users[page] == 0 }

    // MARK: Users

    /// One more sequence uses a page for what it holds.
    mutating func share(_ page: Int) {
        if users[page] == 0 {
            idle.remove(page)
            groups.took(page)
        }
        users[page] += 1
        history?.found(page)
    }

    /// Takes a page to be filled: one without a content, of a group that is resident if there is one, else the one left
    /// longest ago.
    /// - Returns: the page and the content that it held; nil when all pages are in use.
    mutating func take() -> (page: Int, dropped: UInt64?)? {
        guard let page = nextPage() else { return nil }
        let old = contents[page]
        history?.took(page, evicting: old != nil)
        drop(page)
        users[page] = 1
        groups.took(page)
        return (page, old)
    }

    private mutating func nextPage() -> Int? {
        if let oldest = idle.oldest, contents[oldest] == nil { return idle.popOldest() }
        if let fresh = groups.warmUp() {
            for page in fresh.reversed() { idle.insertOldest(page) }
        }
        return idle.popOldest()
    }

    /// A sequence leaves a page, whose content stays until the page is needed.
    /// - Parameter isWanted: whether the content is likely to be asked for again; else it is the next to go.
    mutating func leave(_ page: Int, _ now: ContinuousClock.Instant, isWanted: Bool = true) {
        users[page] -= 1
        guard users[page] == 0 else { return }
        history?.left(page)
        groups.left(page, now)
        if contents[page] == nil || !isWanted {
            idle.insertOldest(page)
        } else {
            idle.insertNewest(page)
        }
    }

    // MARK: Contents

    /// A page holds a content from now on, where no other one does.
    mutating func name(_ page: Int, _ content: UInt64) {
        guard found[content] == nil else { return }
        contents[page] = content
        found[content] = page
    }

    /// Forgets a content, wherever it stands.
    mutating func forget(_ content: UInt64) {
        if let page = found.removeValue(forKey: content) { contents[page] = nil }
    }

    /// Forgets all contents.
    mutating func forgetAll() {
        found = [:]
        contents = [:]
    }

    private mutating func drop(_ page: Int) {
        if let old = contents.removeValue(forKey: page) { found[old] = nil }
    }

    // MARK: Memory

    /// Lets the groups go of which no page was used since a time, and forgets what they hold.
    /// - Returns: the pages of each such group, and the contents that are gone.
    mutating func coolDown(
        unusedSince time: ContinuousClock.Instant
    ) -> (cold: [Range<Int>], dropped: [UInt64]) {
        let cold = groups.coolDown(unusedSince: time)
        var dropped: [UInt64] = []
        for page in cold.joined() {
            idle.remove(page)
            guard let content = contents[page] else { continue }
            history?.evicted(page)
            dropped.append(content)
            drop(page)
        }
        return (cold, dropped)
    }

    /// Notes from now on what happens to pages.
    mutating func recordEvents() { history = PageHistory(pageCount: pageCount) }

    /// What happened to pages since the last call.
    mutating func takeEvents() -> PageEvents { history?.take() ?? PageEvents() }
}
