// SPDX-License-Identifier: Apache-2.0
// Pages of the cache: who uses them, what they hold, which goes first.
import EftNN
import EftTensor
import Testing

@Suite struct PageTableTests {
    private let root = PageTable.Root()

    private func tokens(_ count: Int, seed: Int = 0) -> [Int32] {
        (0..<count).map { Int32($0 * 7 + seed) }
    }

    /// Fills a sequence and makes its contents known.
    private func fill(
        _ table: inout PageTable, _ sequence: Int, _ tokens: [Int32], root: PageTable.Root? = nil
    ) -> Int {
        let cached = table.begin(
            sequence: sequence, root: root ?? self.root, tokens: tokens, most: tokens.count - 1)
        do {
            let done = table.extend(sequence: sequence, to: tokens.count)
            #expect(done)
        }
        table.publish(sequence: sequence, tokens: tokens, computed: tokens.count)
        return cached
    }

    @Test func `a prompt finds the full pages of one before it and shares them`() {
        var table = PageTable(pageCount: 10)
        #expect(fill(&table, 1, tokens(40)) == 0)
        #expect(fill(&table, 2, tokens(40)) == 32)
        #expect(table.pages(of: 1).prefix(2) == table.pages(of: 2).prefix(2))
        #expect(table.pages(of: 1)[2] != table.pages(of: 2)[2])
        #expect(table.freePages == 6)
        table.release(sequence: 1)
        #expect(table.freePages == 7)
        table.release(sequence: 2)
        #expect(table.freePages == 10 && table.sequences == 0 && table.foundPages == 2)
        #expect(fill(&table, 3, tokens(48)) == 32)
    }

    @Test func `the last token is computed even when all pages are known`() {
        var table = PageTable(pageCount: 10)
        _ = fill(&table, 1, tokens(32))
        #expect(fill(&table, 2, tokens(32)) == 16)
        // The twin of the second page stays without a name, yet what follows it is found.
        _ = fill(&table, 3, tokens(64))
        #expect(fill(&table, 4, tokens(65)) == 64)
    }

    @Test(arguments: [
        PageTable.Root(adapter: 1), PageTable.Root(salt: "x"), PageTable.Root(group: 3),
        PageTable.Root(length: 9),
    ])
    func `other roots share nothing`(_ other: PageTable.Root) {
        var table = PageTable(pageCount: 10)
        _ = fill(&table, 1, tokens(32))
        #expect(fill(&table, 2, tokens(32), root: other) == 0)
        #expect(fill(&table, 3, tokens(33), root: other) == 32)
    }

    @Test func `the same tokens after others are another content`() {
        var table = PageTable(pageCount: 10)
        _ = fill(&table, 1, tokens(16) + tokens(16, seed: 1))
        #expect(fill(&table, 2, tokens(16, seed: 1) + tokens(16, seed: 1)) == 0)
    }

    @Test func `the page left longest ago goes first, the end of a sequence before its beginning`()
    {
        var table = PageTable(pageCount: 4)
        _ = fill(&table, 1, tokens(32))
        _ = fill(&table, 2, tokens(32, seed: 1))
        table.release(sequence: 1)
        table.release(sequence: 2)
        // One page is needed: the second page of the first sequence.
        do {
            let done = table.extend(sequence: 3, to: 1)
            #expect(done)
        }
        table.release(sequence: 3)
        #expect(table.cachedPages(root: root, tokens: tokens(32), most: 32).all == 1)
        #expect(table.cachedPages(root: root, tokens: tokens(32, seed: 1), most: 32) == (2, 2))
    }

    @Test func `a full table says so and changes nothing`() {
        var table = PageTable(pageCount: 3)
        do {
            let done = table.extend(sequence: 0, to: 32)
            #expect(done)
        }
        do {
            let done = table.extend(sequence: 1, to: 17)
            #expect(!done)
        }
        #expect(table.freePages == 1 && table.pageCount(of: 1) == 0)
        do {
            let done = table.extend(sequence: 1, to: 16)
            #expect(done)
        }
    }

    @Test func `finds and evictions are told once, and only when asked for`() {
        var table = PageTable(pageCount: 3)
        _ = fill(&table, 1, tokens(32))
        table.release(sequence: 1)
        _ = fill(&table, 2, tokens(32))
        table.release(sequence: 2)
        do {
            let events = table.takeEvents()
            #expect(events.reuses.isEmpty && events.evictions.isEmpty)
        }
        table.recordEvents()
        _ = fill(&table, 3, tokens(33))
        table.release(sequence: 3)
        do {
            let events = table.takeEvents()
            #expect(events.reuses.count == 2 && events.evictions.isEmpty)
            #expect(events.reuses.allSatisfy { $0 > .zero })
        }
        _ = fill(&table, 4, tokens(48, seed: 3))
        do {
            let events = table.takeEvents()
            #expect(events.reuses.isEmpty && events.evictions.count == 2)
            #expect(events.evictions.allSatisfy { $0.lifetime > $0.idle && $0.idle > .zero })
            let after = table.takeEvents()
            #expect(after.evictions.isEmpty)
        }
    }

    @Test func `forgotten contents are never found, nor what follows them`() {
        var table = PageTable(pageCount: 8)
        _ = fill(&table, 1, tokens(32))
        table.forget()
        table.publish(sequence: 1, tokens: tokens(64), computed: 32)
        #expect(table.foundPages == 0)
        #expect(fill(&table, 2, tokens(32)) == 0)
    }

    @Test func `a group is taken before a content is dropped, and given back whole`() {
        var table = PageTable(pageCount: 6, groupSize: 2)
        #expect(table.residentPages == 0 && table.freePages == 6)
        _ = fill(&table, 1, tokens(48))
        #expect(table.residentPages == 4 && table.freePages == 3)
        table.release(sequence: 1)
        let left = ContinuousClock.now
        // The page beside the cached ones is free, the next group is not resident yet: both go before a content.
        _ = fill(&table, 2, tokens(48, seed: 1))
        #expect(table.residentPages == 6 && table.foundPages == 6)
        #expect(table.pages(of: 2) == [3, 4, 5])
        // The second group is in use by half, the first one not at all.
        #expect(table.oldestLeave.map { $0 <= left } == true)
        let early = table.coolDown(unusedSince: left - .seconds(60))
        #expect(early.isEmpty)
        let cold = table.coolDown(unusedSince: left)
        #expect(cold == [0..<2])
        #expect(table.residentPages == 4 && table.freePages == 3 && table.foundPages == 4)
        #expect(table.oldestLeave == nil)
        // What followed the dropped contents is not found either.
        #expect(table.cachedPages(root: root, tokens: tokens(48), most: 48).all == 0)
        table.release(sequence: 2)
        #expect(fill(&table, 3, tokens(48, seed: 1)) == 32)
        #expect(table.pages(of: 3).prefix(2) == [3, 4])
    }

    @Test func `contents that are given back are told as evictions`() {
        var table = PageTable(pageCount: 4, groupSize: 4)
        table.recordEvents()
        _ = fill(&table, 1, tokens(33))
        table.release(sequence: 1)
        let cold = table.coolDown(unusedSince: .now)
        #expect(cold == [0..<4])
        let events = table.takeEvents()
        #expect(events.evictions.count == 2)
        let done = table.extend(sequence: 2, to: 64)
        #expect(done)
        let after = table.takeEvents()
        #expect(after.evictions.isEmpty && table.residentPages == 4)
    }

    /// Random lives of sequences against a model that knows every page's content by its whole prefix.
    @Test(arguments: [1, 3, 5, 12])
    func `a found page always holds what was asked for`(_ groupSize: Int) {
        var random = SplitMix64(seed: 5)
        var table = PageTable(pageCount: 12, groupSize: groupSize)
        var given = 0
        // What stands in each page: all tokens up to its end.
        var held: [Int: [Int32]] = [:]
        var live: [Int: [Int32]] = [:]
        var next = 0
        for _ in 0..<4000 {
            if live.count < 3, Bool.random(using: &random) {
                let prompt = (0..<Int.random(in: 1...70, using: &random)).map { place in
                    place < 64 ? Int32(place / 16 % 2) : Int32.random(in: 0...1, using: &random)
                }
                let id = next
                next += 1
                let cached = table.begin(
                    sequence: id, root: root, tokens: prompt, most: prompt.count - 1)
                for (index, page) in table.pages(of: id).enumerated() {
                    #expect(held[page] == Array(prompt.prefix((index + 1) * 16)))
                }
                #expect(cached == table.pageCount(of: id) * 16)
                guard table.extend(sequence: id, to: prompt.count) else {
                    table.release(sequence: id)
                    continue
                }
                for (index, page) in table.pages(of: id).enumerated() where index >= cached / 16 {
                    held[page] = Array(prompt.prefix((index + 1) * 16))
                }
                table.publish(sequence: id, tokens: prompt, computed: prompt.count)
                live[id] = prompt
            } else if let id = live.keys.sorted().randomElement(using: &random) {
                table.release(sequence: id)
                live[id] = nil
            } else if Int.random(in: 0..<8, using: &random) == 0 {
                for page in table.coolDown(unusedSince: .now).joined() {
                    held[page] = nil
                    given += 1
                }
            }
            let used = Set(live.keys.flatMap { table.pages(of: $0) })
            #expect(table.freePages == 12 - used.count)
            #expect(table.residentPages >= used.count)
        }
        #expect(given > 0)
        for id in live.keys { table.release(sequence: id) }
        #expect(table.freePages == 12 && table.sequences == 0)
    }
}
