// SPDX-License-Identifier: Apache-2.0
// Which page of a cache holds what, and who uses it.
import EftTensor

/// Pages of 16 tokens with counts of their users, and the contents of those that are full.
///
/// A page without a user keeps its content until the page is needed: the one that was left longest ago goes first,
/// of one sequence the last ones before the first. Pages lie in groups that become resident when the first of their pages is
/// taken, and are given back as a whole (`coolDown`); before a content is dropped to make room, groups that are not resident are
/// taken. Contents are found by a chain: a page's key is the number of the
/// content before it and its own tokens, compared whole, so that two contents are never taken for each other.
package struct PageTable: Sendable {
    /// What the chain of a sequence's contents begins with: sequences share pages only under the same root.
    package struct Root: Hashable, Sendable {
        /// Number of the loading of an adapter; 0 for the base alone.
        package var adapter: Int
        /// A caller's secret that keeps its pages apart.
        package var salt: String
        /// A number that no other root has, for pages that only one group of sequences may share; 0 otherwise.
        package var group: Int
        /// Length that rotations depend on; 0 where they do not.
        package var length: Int

        /// Makes a root.
        package init(adapter: Int = 0, salt: String = "", group: Int = 0, length: Int = 0) {
            self.adapter = adapter
            self.salt = salt
            self.group = group
            self.length = length
        }
    }

    private struct Key: Hashable {
        let before: Content
        let tokens: SIMD16<Int32>

        init(_ before: Content, _ tokens: [Int32], page: Int) {
            self.before = before
            self.tokens = SIMD16(tokens[page * pageTokens..<(page + 1) * pageTokens])
        }
    }

    /// What stands before a page.
    private enum Content: Hashable {
        case root(Root)
        case page(UInt64)
    }

    /// The number of a full page's content and the key under which it is found.
    private struct Published {
        let content: UInt64
        let key: Key
    }

    /// The pages of one sequence, and how far their contents are known.
    private struct Holding {
        var pages: [Int] = []
        var last: Content
        var published = 0
    }

    private var users: [Int32]
    /// What the pages hold that can be found; most pages of a large cache never hold anything.
    private var contents: [Int: Published] = [:]
    private var found: [Key: Int] = [:]
    private var holdings: [Int: Holding] = [:]
    private var idle: IdlePages
    private var groups: PageGroups
    private var nextContent: UInt64 = 1
    private var history: PageHistory?

    /// A table of pages that nobody uses, none of them resident.
    /// - Parameter groupSize: pages of a group; the last group may have fewer.
    package init(pageCount: Int, groupSize: Int = 1) {
        users = Array(repeating: 0, count: pageCount)
        idle = IdlePages(count: pageCount)
        groups = PageGroups(pageCount: pageCount, groupSize: groupSize)
    }

    /// Pages that no sequence uses, those with a content and those that are not resident included.
    package var freePages: Int { idle.count + groups.coldPages }
    /// Pages that are resident.
    package var residentPages: Int { pageCount - groups.coldPages }
    /// Pages whose content can be found.
    package var foundPages: Int { found.count }
    /// Sequences that hold pages.
    package var sequences: Int { holdings.count }
    /// All pages.
    package var pageCount: Int { users.count }

    /// The pages of a sequence in order.
    package func pages(of sequence: Int) -> [Int] { holdings[sequence]?.pages ?? [] }

    /// How many pages a sequence holds.
    package func pageCount(of sequence: Int) -> Int { holdings[sequence]?.pages.count ?? 0 }

    /// Begins a sequence with the pages whose contents are its first tokens.
    /// - Parameter most: how many of its tokens may be taken at most.
    /// - Returns: the tokens that need not be computed, a multiple of 16.
    package mutating func begin(
        sequence: Int, root: Root, tokens: [Int32], most: Int
    ) -> Int {
        precondition(holdings[sequence] == nil, "a sequence begins once")
        var holding = Holding(last: .root(root))
        let limit = min(most, tokens.count) / pageTokens
        while holding.pages.count < limit {
            let key = Key(holding.last, tokens, page: holding.pages.count)
            guard let page = found[key], let content = contents[page]?.content else { break }
            if users[page] == 0 {
                idle.remove(page)
                groups.took(page)
            }
            users[page] += 1
            history?.found(page)
            holding.pages.append(page)
            holding.last = .page(content)
        }
        holding.published = holding.pages.count
        holdings[sequence] = holding
        return holding.pages.count * pageTokens
    }

    /// The pages that `begin` would take: all, and those of them that nobody uses.
    package func cachedPages(root: Root, tokens: [Int32], most: Int) -> (all: Int, idle: Int) {
        var last = Content.root(root)
        var (all, unused) = (0, 0)
        while all < min(most, tokens.count) / pageTokens {
            let key = Key(last, tokens, page: all)
            guard let page = found[key], let content = contents[page]?.content else { break }
            if users[page] == 0 { unused += 1 }
            all += 1
            last = .page(content)
        }
        return (all, unused)
    }

    /// Gives a sequence the pages that it needs to hold `tokens` tokens; false, and nothing changed, when there are
    /// too few.
    package mutating func extend(sequence: Int, to tokens: Int) -> Bool {
        var holding = holdings[sequence] ?? Holding(last: .root(Root()))
        let missing = EftNN.pageCount(tokens: tokens) - holding.pages.count
        guard missing > 0 else { return true }
        guard freePages >= missing else { return false }
        for _ in 0..<missing {
            guard let page = nextPage() else { return false }
            history?.took(page, evicting: contents[page] != nil)
            drop(page)
            users[page] = 1
            groups.took(page)
            holding.pages.append(page)
        }
        holdings[sequence] = holding
        return true
    }

    /// A page to be filled: one without a content, of a group that is resident if there is one, else the one left longest ago.
    private mutating func nextPage() -> Int? {
        if let oldest = idle.oldest, contents[oldest] == nil { return idle.popOldest() }
        if let fresh = groups.warmUp() {
            for page in fresh.reversed() { idle.insertOldest(page) }
        }
        return idle.popOldest()
    }

    /// Forgets a page's content.
    private mutating func drop(_ page: Int) {
        guard let old = contents[page] else { return }
        found[old.key] = nil
        contents[page] = nil
    }

    /// Makes the contents of a sequence's full pages known, once its first `computed` tokens stand in them.
    package mutating func publish(sequence: Int, tokens: [Int32], computed: Int) {
        guard var holding = holdings[sequence] else { return }
        let full = min(min(computed, tokens.count) / pageTokens, holding.pages.count)
        guard holding.published < full else { return }
        while holding.published < full {
            let key = Key(holding.last, tokens, page: holding.published)
            if let twin = found[key], let content = contents[twin]?.content {
                // Somebody else has the same content; this page stays without a name.
                holding.last = .page(content)
            } else {
                let page = holding.pages[holding.published]
                contents[page] = Published(content: nextContent, key: key)
                found[key] = page
                holding.last = .page(nextContent)
                nextContent += 1
            }
            holding.published += 1
        }
        holdings[sequence] = holding
    }

    /// Takes a sequence's pages back; contents stay until the pages are needed.
    /// - Parameter now: when this happens.
    package mutating func release(sequence: Int, now: ContinuousClock.Instant = .now) {
        guard let holding = holdings.removeValue(forKey: sequence) else { return }
        for page in holding.pages.reversed() {
            users[page] -= 1
            guard users[page] == 0 else { continue }
            history?.left(page)
            groups.left(page, now)
            if contents[page] == nil { idle.insertOldest(page) } else { idle.insertNewest(page) }
        }
    }

    /// Lets the groups go of which no page was used since a time, and forgets what they hold.
    /// - Returns: the pages of each such group, which are not resident from now on.
    package mutating func coolDown(unusedSince time: ContinuousClock.Instant) -> [Range<Int>] {
        let cold = groups.coolDown(unusedSince: time)
        for page in cold.joined() {
            idle.remove(page)
            if contents[page] != nil { history?.evicted(page) }
            drop(page)
        }
        return cold
    }

    /// When the group was left of which no page has been used for the longest time; nil when all resident groups are in use.
    package var oldestLeave: ContinuousClock.Instant? { groups.oldestLeave }

    /// Notes from now on what happens to pages; `takeEvents` is to be called now and then.
    package mutating func recordEvents() { history = PageHistory(pageCount: pageCount) }

    /// What happened to pages since the last call; nothing without `recordEvents`.
    package mutating func takeEvents() -> PageEvents { history?.take() ?? PageEvents() }

    /// Forgets all contents.
    package mutating func forget() {
        found = [:]
        contents = [:]
        for sequence in holdings.keys {
            // Contents that follow forgotten ones would never be found: their sequences publish no more.
            holdings[sequence]?.published = .max
        }
    }
}
