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
///
/// Layers with a window have pages of their own. A sequence holds of them only those that its next row sees: the others are
/// left (`trim`). The chain is that of the pages for all positions; a prefix can be used again where the pages of each window
/// still hold what the next row sees of it, and where layers keep states, behind a page whose state was kept (`keepState`).
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

    /// Consecutive pages of a sequence in one pool.
    private struct Span {
        /// The place of the first one in the sequence.
        var first = 0
        var pages: [Int] = []
        /// The place behind the last one.
        var end: Int { first + pages.count }
    }

    /// The pages of one sequence in each pool, and how far their contents are known.
    private struct Holding {
        var spans: [Span]
        var last: Content
        var published = 0
        /// The last content of its answer behind which its state was kept.
        var kept: UInt64?
    }

    /// The pages of layers that see all positions, and those of each window.
    private var pools: [PagePool]
    /// The contents of the first pool by what they are, and back.
    private var chain: [Key: UInt64] = [:]
    private var keys: [UInt64: Key] = [:]
    private var holdings: [Int: Holding] = [:]
    private var nextContent: UInt64 = 1
    /// The states behind contents; nil where layers keep none.
    private var snapshots: StateSnapshots?

    /// A table of pages that nobody uses, none of them resident.
    /// - Parameter groupSize: pages of a group; the last group may have fewer.
    package init(pageCount: Int, groupSize: Int = 1) {
        pools = [PagePool(window: nil, pageCount: pageCount, groupSize: groupSize)]
    }

    /// A table of the pages of a plan.
    /// - Parameters:
    ///   - groupSizes: pages that become resident together, for each group of layers.
    ///   - snapshots: states that can be kept; nil where layers keep none.
    package init(_ plan: PagePlan, groupSizes: [Int], snapshots: Int? = nil) {
        self.snapshots = snapshots.map { StateSnapshots(count: $0) }
        precondition(plan.groups.count == groupSizes.count, "a size for each group of layers")
        pools = zip(plan.groups, groupSizes).map { group, size in
            PagePool(window: group.window, pageCount: group.pages, groupSize: size)
        }
    }

    /// Pages that no sequence uses, those with a content and those that are not resident included.
    package var freePages: Int { pools[0].freePages }
    /// Pages that are resident.
    package var residentPages: Int { pools[0].residentPages }
    /// Pages whose content can be found.
    package var foundPages: Int { pools[0].foundPages }
    /// Sequences that hold pages.
    package var sequences: Int { holdings.count }
    /// All pages.
    package var pageCount: Int { pools[0].pageCount }
    /// For each group of layers the pages that are resident, and those that no sequence uses.
    package var groups: [(resident: Int, free: Int)] {
        pools.map { ($0.residentPages, $0.freePages) }
    }

    /// The pages of a sequence in order.
    package func pages(of sequence: Int) -> [Int] { holdings[sequence]?.spans[0].pages ?? [] }

    /// How many pages a sequence holds.
    package func pageCount(of sequence: Int) -> Int {
        holdings[sequence]?.spans[0].pages.count ?? 0
    }

    /// The pages of a sequence in a group of layers, and the place of the first one in the sequence.
    package func span(of sequence: Int, group: Int) -> (first: Int, pages: [Int]) {
        let span = holdings[sequence]?.spans[group] ?? Span()
        return (span.first, span.pages)
    }

    // MARK: Prefixes

    /// The contents that a sequence's first tokens are, as far as they are known.
    private func contents(_ root: Root, _ tokens: [Int32], most: Int) -> [UInt64] {
        var known: [UInt64] = []
        var last = Content.root(root)
        while known.count < min(most, tokens.count) / pageTokens {
            guard let content = chain[Key(last, tokens, page: known.count)] else { break }
            known.append(content)
            last = .page(content)
        }
        return shared(known)
    }

    /// As many of a sequence's first contents as it can go on from: those behind which each window is whole.
    private func shared(_ contents: [UInt64]) -> [UInt64] {
        if let snapshots {
            let last = contents.lastIndex(where: snapshots.holds)
            return Array(contents.prefix(last.map { $0 + 1 } ?? 0))
        }
        guard pools.count > 1 else { return contents }
        var best = 0
        // How many contents before each place stand in a pool without a gap.
        var runs = Array(repeating: 0, count: pools.count)
        for (index, content) in contents.enumerated() {
            let count = index + 1
            var isWhole = true
            for (place, pool) in pools.enumerated().dropFirst() {
                runs[place] = pool.page(holding: content) == nil ? 0 : runs[place] + 1
                let seen = count - pool.firstSeen(from: count * pageTokens)
                if runs[place] < seen { isWhole = false }
            }
            if isWhole { best = count }
        }
        return Array(contents.prefix(best))
    }

    /// Begins a sequence with the pages whose contents are its first tokens.
    /// - Parameter most: how many of its tokens may be taken at most.
    /// - Returns: the tokens that need not be computed, a multiple of 16.
    package mutating func begin(
        sequence: Int, root: Root, tokens: [Int32], most: Int
    ) -> Int {
        precondition(holdings[sequence] == nil, "a sequence begins once")
        let known = contents(root, tokens, most: most)
        var holding = Holding(
            spans: pools.map { _ in Span() }, last: known.last.map { .page($0) } ?? .root(root),
            published: known.count)
        for place in pools.indices {
            let first = pools[place].firstSeen(from: known.count * pageTokens)
            holding.spans[place].first = first
            for content in known.dropFirst(first) {
                guard let page = pools[place].page(holding: content) else { continue }
                pools[place].share(page)
                holding.spans[place].pages.append(page)
            }
        }
        holdings[sequence] = holding
        return known.count * pageTokens
    }

    /// The place of the state that a sequence goes on from that has just begun; nil when it begins anew.
    package mutating func beginning(of sequence: Int) -> Int? {
        guard case .page(let content)? = holdings[sequence]?.last else { return nil }
        return snapshots?.use(content)
    }

    /// Keeps the state behind a sequence's first tokens, which fill pages whose contents are known.
    /// - Parameters:
    ///   - computed: how many tokens those are.
    ///   - isAnswer: whether they are more than the prompt: then the state takes the place of the sequence's last such one.
    /// - Returns: the place that the state is to be written to; nil when it is kept already or cannot be.
    package mutating func keepState(sequence: Int, computed: Int, isAnswer: Bool) -> Int? {
        guard computed > 0, computed % pageTokens == 0, var holding = holdings[sequence],
            holding.published == computed / pageTokens, case .page(let content) = holding.last
        else { return nil }
        let place = snapshots?.take(for: content, insteadOf: isAnswer ? holding.kept : nil)
        if isAnswer { holding.kept = content }
        holdings[sequence] = holding
        return place
    }

    /// Places of states that hold nothing.
    package var emptyStates: [Int] { snapshots?.free ?? [] }

    /// The pages that `begin` would take: all, and those of them that nobody uses.
    package func cachedPages(root: Root, tokens: [Int32], most: Int) -> (all: Int, idle: Int) {
        let known = contents(root, tokens, most: most)
        let idle = known.count { content in
            pools[0].page(holding: content).map(pools[0].isIdle) ?? false
        }
        return (known.count, idle)
    }

    // MARK: Growing and leaving

    /// Gives a sequence the pages that it needs to hold `tokens` tokens; false, and nothing changed, when there are
    /// too few.
    package mutating func extend(sequence: Int, to tokens: Int) -> Bool {
        extend(sequence: sequence, to: tokens, pools.indices)
    }

    /// Gives a sequence the pages for all positions that it needs to hold `tokens` tokens, not those of windows; false, and
    /// nothing changed, when there are too few.
    package mutating func reserve(sequence: Int, to tokens: Int) -> Bool {
        extend(sequence: sequence, to: tokens, 0..<1)
    }

    private mutating func extend(
        sequence: Int, to tokens: Int, _ places: Range<Int>
    ) -> Bool {
        var holding =
            holdings[sequence]
            ?? Holding(
                spans: pools.map { _ in Span() }, last: .root(Root()))
        let needed = EftNN.pageCount(tokens: tokens)
        for place in places where pools[place].freePages < needed - holding.spans[place].end {
            return false
        }
        for place in places {
            while holding.spans[place].end < needed {
                guard let (page, dropped) = pools[place].take() else { return false }
                if place == 0, let dropped { forget(dropped) }
                holding.spans[place].pages.append(page)
            }
        }
        holdings[sequence] = holding
        return true
    }

    /// A content of the first pool is gone: what windows hold of it is never found again.
    private mutating func forget(_ content: UInt64) {
        if let key = keys.removeValue(forKey: content) { chain[key] = nil }
        for place in pools.indices.dropFirst() { pools[place].forget(content) }
        snapshots?.forget(content)
    }

    /// Leaves the pages of windows that no row from a position on sees, and those behind what was computed.
    /// - Parameters:
    ///   - computed: how many tokens of the sequence stand in its pages, to stay there.
    ///   - prompt: how many of its tokens other sequences may begin with; pages of later ones are the next to be used again.
    ///   - now: when this happens.
    package mutating func trim(
        sequence: Int, computed: Int, prompt: Int, now: ContinuousClock.Instant = .now
    ) {
        guard pools.count > 1, var holding = holdings[sequence] else { return }
        for place in pools.indices.dropFirst() {
            let first = pools[place].firstSeen(from: computed)
            var span = holding.spans[place]
            while span.end > max(first, EftNN.pageCount(tokens: computed)),
                let page = span.pages.popLast()
            {
                pools[place].leave(page, now, isWanted: false)
            }
            let gone = max(0, min(first - span.first, span.pages.count))
            for (index, page) in span.pages.prefix(gone).enumerated() {
                let end = (span.first + index + 1) * pageTokens
                pools[place].leave(page, now, isWanted: end <= prompt)
            }
            span.pages.removeFirst(gone)
            span.first = max(span.first, first)
            holding.spans[place] = span
        }
        holdings[sequence] = holding
    }

    /// Whether a sequence's pages hold all that its row at a position sees, if they held the tokens before it once.
    package func reaches(sequence: Int, position: Int) -> Bool {
        guard let holding = holdings[sequence] else { return position == 0 }
        return zip(pools, holding.spans).allSatisfy { pool, span in
            span.first <= pool.firstSeen(from: position)
        }
    }

    /// Makes the contents of a sequence's full pages known, once its first `computed` tokens stand in them.
    package mutating func publish(sequence: Int, tokens: [Int32], computed: Int) {
        guard var holding = holdings[sequence] else { return }
        let full = min(min(computed, tokens.count) / pageTokens, holding.spans[0].pages.count)
        guard holding.published < full else { return }
        while holding.published < full {
            let index = holding.published
            let key = Key(holding.last, tokens, page: index)
            let content = chain[key] ?? nextContent
            if content == nextContent {
                // Where somebody else has the same content, this page stays without a name.
                nextContent += 1
                chain[key] = content
                keys[content] = key
                pools[0].name(holding.spans[0].pages[index], content)
            }
            for place in pools.indices.dropFirst() {
                let span = holding.spans[place]
                guard index >= span.first, index < span.end else { continue }
                pools[place].name(span.pages[index - span.first], content)
            }
            holding.last = .page(content)
            holding.published += 1
        }
        holdings[sequence] = holding
    }

    /// Takes a sequence's pages back; contents stay until the pages are needed.
    /// - Parameter now: when this happens.
    package mutating func release(sequence: Int, now: ContinuousClock.Instant = .now) {
        guard let holding = holdings.removeValue(forKey: sequence) else { return }
        for (place, span) in holding.spans.enumerated() {
            for page in span.pages.reversed() { pools[place].leave(page, now) }
        }
    }

    // MARK: Memory

    /// Lets the groups go of which no page was used since a time, and forgets what they hold.
    /// - Parameter group: the group of layers.
    /// - Returns: the pages of each such group, which are not resident from now on.
    package mutating func coolDown(
        group: Int = 0, unusedSince time: ContinuousClock.Instant
    ) -> [Range<Int>] {
        let (cold, dropped) = pools[group].coolDown(unusedSince: time)
        if group == 0 {
            for content in dropped { forget(content) }
        }
        return cold
    }

    /// When the group was left of which no page has been used for the longest time; nil when all resident groups are in use.
    package var oldestLeave: ContinuousClock.Instant? { pools.compactMap(\.oldestLeave).min() }

    /// Notes from now on what happens to pages; `takeEvents` is to be called now and then.
    package mutating func recordEvents() { pools[0].recordEvents() }

    /// What happened to pages since the last call; nothing without `recordEvents`.
    package mutating func takeEvents() -> PageEvents { pools[0].takeEvents() }

    /// Forgets all contents.
    package mutating func forget() {
        chain = [:]
        keys = [:]
        for place in pools.indices { pools[place].forgetAll() }
        snapshots?.forgetAll()
        for sequence in holdings.keys {
            // Contents that follow forgotten ones would never be found: their sequences publish no more.
            holdings[sequence]?.published = .max
        }
    }
}
