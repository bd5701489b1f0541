// SPDX-License-Identifier: Apache-2.0
// Pages of layers with a window: how many there are, which are left, and which prefixes can be used again.
import EftNN
import EftTensor
import Testing

@Suite struct WindowPagesTests {
    private let root = PageTable.Root()

    /// Layers of two windows, and some that see all positions.
    private func plan(pages: Int, sequences: Int = 1, rows: Int = 16) -> PagePlan {
        PagePlan(
            pages: pages,
            kinds: [LayerKind(window: 20), LayerKind(), LayerKind(window: 40), LayerKind()],
            demand: WindowDemand(sequences: sequences, rows: rows))
    }

    private func table(_ plan: PagePlan) -> PageTable {
        PageTable(plan, groupSizes: plan.groups.map { _ in 1 })
    }

    private func tokens(_ count: Int, seed: Int = 0) -> [Int32] {
        (0..<count).map { Int32($0 * 7 + seed) }
    }

    /// Reads a sequence from `computed` on in parts, as an engine does.
    private func read(
        _ table: inout PageTable, _ sequence: Int, _ tokens: [Int32], from computed: Int = 0,
        rows: Int = 16, prompt: Int? = nil
    ) -> Bool {
        var computed = computed
        while computed < tokens.count {
            let end = min(computed + rows, tokens.count)
            guard table.extend(sequence: sequence, to: end) else { return false }
            table.publish(sequence: sequence, tokens: tokens, computed: end)
            computed = end
            table.trim(
                sequence: sequence, computed: computed, prompt: prompt ?? tokens.count)
        }
        return true
    }

    @Test func `a plan has fewer pages for windows where that is enough`() {
        let plan = plan(pages: 100)
        #expect(plan.groups.map(\.window) == [nil, 20, 40])
        #expect(plan.layers == [1, 0, 2, 0])
        // 20 positions touch 3 pages at most, a begun one beside them; twice that, and one for the rows.
        #expect(plan.groups.map(\.pages) == [100, 9, 11])
        #expect(plan.byteCount(layers: 0..<4, pageBytes: 10) == 10 * (9 + 100 + 11 + 100))
        #expect(plan.byteCount(layers: 2..<3, pageBytes: 10) == 110)
        #expect(plan.tablePages == 120)
        // Sequences that are shorter than the window leave nothing.
        let short = self.plan(pages: 10)
        #expect(short.groups.map(\.pages) == [10, 9] && short.layers == [1, 0, 0, 0])
        let huge = PagePlan(
            pages: 8, kinds: [LayerKind(window: .max)],
            demand: WindowDemand(sequences: .max, rows: 1))
        #expect(huge.groups.count == 1)
    }

    @Test func `a sequence holds what its next row sees, and no more`() {
        let plan = plan(pages: 64)
        var table = table(plan)
        for (count, rows) in [(500, 16), (333, 1), (700, 7)] {
            let done = read(&table, 1, tokens(count), rows: rows)
            #expect(done)
            for (group, window) in [(1, 20), (2, 40)] {
                let span = table.span(of: 1, group: group)
                #expect(span.first == (count - window + 1) / 16)
                #expect(span.first + span.pages.count == (count + 15) / 16)
                #expect(Set(span.pages).count == span.pages.count)
            }
            #expect(table.pageCount(of: 1) == (count + 15) / 16)
            table.release(sequence: 1)
            #expect(table.groups.map(\.free) == plan.groups.map(\.pages))
        }
    }

    @Test func `what is drafted and does not come true is left`() {
        var table = table(plan(pages: 64))
        let done = read(&table, 1, tokens(100))
        #expect(done)
        let drafted = table.extend(sequence: 1, to: 130)
        #expect(drafted && table.span(of: 1, group: 1).pages.count == 4)
        table.trim(sequence: 1, computed: 101, prompt: 100)
        let span = table.span(of: 1, group: 1)
        #expect(span.first == 5 && span.pages.count == 2)
        #expect(table.pageCount(of: 1) == 9)
    }

    @Test func `a conversation goes on from its end and from its last prompt`() {
        var table = table(plan(pages: 200))
        let long = tokens(400)
        // A prompt of 200 tokens, and an answer far longer than the spare pages.
        let done = read(&table, 1, long, rows: 1, prompt: 200)
        #expect(done)
        table.release(sequence: 1)
        let whole = table.begin(sequence: 2, root: Root(), tokens: long + [1], most: 400)
        #expect(whole == 400)
        table.release(sequence: 2)
        let edited = Array(long.prefix(200)) + tokens(100, seed: 5)
        let prompt = table.begin(sequence: 3, root: Root(), tokens: edited, most: 299)
        #expect(prompt == 192)
        let span = table.span(of: 3, group: 2)
        #expect(span.first == (192 - 39) / 16 && span.pages.count == 3)
        let more = read(&table, 3, edited, from: 192)
        #expect(more)
        table.release(sequence: 3)
        // In the middle of the answer nothing is left of the windows.
        let middle = table.begin(
            sequence: 4, root: Root(), tokens: Array(long.prefix(300)) + [9], most: 300)
        #expect(middle < 200)
    }

    private typealias Root = PageTable.Root

    @Test func `a prefix is shared as far as each window is whole behind it`() {
        var table = table(plan(pages: 200, rows: 64))
        let long = tokens(640)
        let done = read(&table, 1, long, rows: 64)
        #expect(done)
        // The windows' pages of the beginning were used again for the rest.
        let cached = table.begin(
            sequence: 2, root: Root(), tokens: Array(long.prefix(160)), most: 159)
        #expect(cached == 0)
        #expect(table.span(of: 2, group: 1).pages.isEmpty && table.pageCount(of: 2) == 0)
        // What it reads anew is found from then on, under the numbers that the contents had.
        let second = read(&table, 2, Array(long.prefix(160)))
        #expect(second)
        let third = table.begin(
            sequence: 3, root: Root(), tokens: Array(long.prefix(161)), most: 160)
        #expect(third == 160)
        for group in [1, 2] {
            let (own, other) = (
                table.span(of: 3, group: group), table.span(of: 2, group: group)
            )
            #expect(own.first == other.first && own.pages == other.pages)
        }
    }

    @Test func `no sequence waits for pages of a window while there are others`() {
        for (sequences, rows) in [(1, 1), (1, 33), (4, 16), (7, 50)] {
            let plan = plan(pages: sequences * 40, sequences: sequences, rows: rows)
            var table = table(plan)
            var random = SplitMix64(seed: UInt64(rows))
            var computed = Array(repeating: 0, count: sequences)
            for _ in 0..<400 {
                var left = rows
                var taken: [(Int, Int)] = []
                for sequence in (0..<sequences).shuffled(using: &random) where left > 0 {
                    let count = Int.random(in: 1...left, using: &random)
                    guard computed[sequence] + count <= 640 else {
                        table.release(sequence: sequence)
                        computed[sequence] = 0
                        continue
                    }
                    let done = table.extend(sequence: sequence, to: computed[sequence] + count)
                    #expect(done)
                    left -= count
                    // Some of the rows are drafts that do not come true.
                    taken.append((sequence, Int.random(in: 1...count, using: &random)))
                }
                for (sequence, count) in taken {
                    computed[sequence] += count
                    table.trim(
                        sequence: sequence, computed: computed[sequence], prompt: .max)
                }
            }
        }
    }

    /// Random lives of sequences against a model that knows every page's content by its whole prefix.
    @Test(arguments: [1, 2, 5])
    func `a found page always holds what was asked for`(_ groupSize: Int) {
        var random = SplitMix64(seed: 11)
        let plan = plan(pages: 24, sequences: 3, rows: 24)
        var table = PageTable(plan, groupSizes: plan.groups.map { _ in groupSize })
        // What stands in each page of each group: all tokens up to its end.
        var held: [[Int: [Int32]]] = plan.groups.map { _ in [:] }
        var live: [Int: (tokens: [Int32], computed: Int)] = [:]
        var (next, found, cold) = (0, 0, 0)
        for _ in 0..<6000 {
            if live.count < 3, Bool.random(using: &random) {
                let prompt = (0..<Int.random(in: 1...150, using: &random)).map { place in
                    place < 112 ? Int32(place / 64) : Int32.random(in: 0...1, using: &random)
                }
                let cached = table.begin(
                    sequence: next, root: root, tokens: prompt, most: prompt.count - 1)
                found += cached
                live[next] = (prompt, cached)
                next += 1
            } else if let id = live.keys.sorted().randomElement(using: &random) {
                guard let (tokens, computed) = live[id] else { continue }
                let end = min(tokens.count, computed + Int.random(in: 1...24, using: &random))
                guard computed < end, table.extend(sequence: id, to: end) else {
                    table.release(sequence: id)
                    live[id] = nil
                    continue
                }
                for group in plan.groups.indices {
                    let span = table.span(of: id, group: group)
                    for (index, page) in span.pages.enumerated() {
                        let place = span.first + index
                        let stop = min((place + 1) * 16, end)
                        guard stop > computed else { continue }
                        held[group][page] = Array(tokens.prefix(stop))
                    }
                }
                table.publish(sequence: id, tokens: tokens, computed: end)
                table.trim(sequence: id, computed: end, prompt: tokens.count / 2)
                live[id] = (tokens, end)
            }
            if Int.random(in: 0..<10, using: &random) == 0 {
                for group in plan.groups.indices {
                    for page in table.coolDown(group: group, unusedSince: .now).joined() {
                        held[group][page] = nil
                        cold += 1
                    }
                }
            }
            // Everything that the next row of any sequence sees stands where the table says.
            for (id, (tokens, computed)) in live {
                for group in plan.groups.indices {
                    let window = plan.groups[group].window ?? .max
                    let span = table.span(of: id, group: group)
                    let first = computed >= window ? (computed - window + 1) / 16 : 0
                    #expect(span.first == first)
                    for place in first..<(computed + 15) / 16 {
                        let stop = min((place + 1) * 16, computed)
                        let page = span.pages[place - span.first]
                        #expect(held[group][page]?.prefix(stop) == tokens.prefix(stop))
                    }
                }
            }
        }
        #expect(found > 0 && cold > 0)
        for id in live.keys { table.release(sequence: id) }
        #expect(table.groups.map(\.free) == plan.groups.map(\.pages) && table.sequences == 0)
    }

    @Test(arguments: [1, 3, 100])
    func `pages of different groups of layers do not overlap, and are given back each for itself`(
        _ groupSize: Int
    ) throws {
        let shape = DecoderShape(
            hidden: 64, intermediate: 64, heads: 2, kvHeads: 2, headDim: 32, normEpsilon: 1e-5)
        let (first, second) = (MemoryLedger(), MemoryLedger())
        let plan = plan(pages: 30)
        let cache = try PagedCache(
            plan, ledgers: [first, first, second, second], shape: shape, kvType: .bf16,
            groupSize: groupSize)
        let bytes = KVType.bf16.pageBytes(kvHeads: 2, headDim: 32)
        #expect(first.current[.kvCache] == plan.byteCount(layers: 0..<2, pageBytes: bytes))
        #expect(second.current[.kvCache] == plan.byteCount(layers: 2..<4, pageBytes: bytes))
        var places: [Int] = []
        var computed = 0
        while computed < 480 {
            #expect(cache.extend(sequence: 1, to: computed + 16))
            let batch = DecoderBatch(
                tokens: Array(repeating: 1, count: 16),
                runs: [.init(sequence: 1, rows: 0..<16, firstPosition: computed)])
            places = (0..<4).flatMap { layer in
                let group = plan.layers[layer] ?? 0
                let first = cache.withTable { $0.span(of: 1, group: group).first }
                return cache.attentionRuns(layer: layer, batch: batch).flatMap { run in
                    run.pages.addresses.dropFirst(first).map { Int(bitPattern: $0) }
                }
            }
            let sorted = places.sorted()
            #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= bytes })
            computed += 16
            cache.withTable { $0.trim(sequence: 1, computed: computed, prompt: 0) }
        }
        // 30 pages in two layers, 3 and 4 in those with a window.
        #expect(places.count == 2 * 30 + 3 + 4)
        let resident = cache.residentBytes
        #expect(resident <= plan.byteCount(layers: 0..<4, pageBytes: bytes))
        cache.release(sequence: 1)
        #expect(cache.giveBack(unusedSince: .now) == resident && cache.residentBytes == 0)
    }
}
