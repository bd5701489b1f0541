// SPDX-License-Identifier: Apache-2.0
// Memory of the KV cache: reserved at once, taken on use, given back.
import EftNN
import EftTensor
import Testing

@Suite struct PagedCacheTests {
    private let shape = DecoderShape(
        hidden: 512, intermediate: 512, heads: 8, kvHeads: 4, headDim: 64, normEpsilon: 1e-5)

    private func cache(
        pages: Int, ledgers: [MemoryLedger?], groupSize: Int? = nil
    ) throws -> PagedCache {
        try PagedCache(
            pageCount: pages, ledgers: ledgers, shape: shape, kvType: .bf16, groupSize: groupSize)
    }

    /// Where the pages of a sequence of `tokens` tokens begin in each layer.
    private func addresses(_ cache: PagedCache, _ sequence: Int, tokens: Int, layers: Int)
        -> [[Int]]
    {
        let batch = DecoderBatch(
            tokens: Array(repeating: 1, count: tokens),
            runs: [DecoderBatch.Run(sequence: sequence, rows: 0..<tokens, firstPosition: 0)])
        return (0..<layers).map { layer in
            cache.attentionRuns(layer: layer, batch: batch).flatMap { run in
                run.pages.addresses.map { Int(bitPattern: $0) }
            }
        }
    }

    @Test(arguments: [1, 2, 3, 5, 7, 100])
    func `no two pages of any layers overlap, however they are grouped`(_ groupSize: Int) throws {
        let (first, second) = (MemoryLedger(), MemoryLedger())
        // Layers 0, 1 and 3 stand on one device, layer 2 on another.
        let cache = try cache(
            pages: 7, ledgers: [first, first, second, first], groupSize: groupSize)
        let pageBytes = KVType.bf16.pageBytes(kvHeads: shape.kvHeads, headDim: shape.headDim)
        #expect(first.current[.kvCache] == 3 * 7 * pageBytes)
        #expect(second.current[.kvCache] == 7 * pageBytes)
        #expect(cache.extend(sequence: 1, to: 7 * 16))
        let layers = addresses(cache, 1, tokens: 7 * 16, layers: 4)
        func check(_ places: [Int]) {
            let sorted = places.sorted()
            #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= pageBytes })
            let span = (sorted.last ?? 0) - (sorted.first ?? 0)
            #expect(span == (places.count - 1) * pageBytes)
        }
        check(layers[0] + layers[1] + layers[3])
        check(layers[2])
    }

    @Test func `the whole is reserved at once and becomes resident with its use`() throws {
        let ledger = MemoryLedger()
        // A page takes 16 KiB a layer, 64 KiB in all; 32 of them are a group.
        let cache = try cache(pages: 1024, ledgers: Array(repeating: ledger, count: 4))
        #expect(ledger.current[.kvCache] == 64 << 20)
        #expect(cache.residentBytes == 0)
        #expect(cache.extend(sequence: 1, to: 16))
        #expect(cache.residentBytes == 2 << 20)
        #expect(cache.extend(sequence: 1, to: 33 * 16))
        #expect(cache.residentBytes == 4 << 20)
        #expect(cache.giveBack(unusedSince: .now) == 0)
        cache.release(sequence: 1)
        #expect(cache.residentBytes == 4 << 20)
        #expect(cache.giveBack(unusedSince: .now) == 4 << 20)
        #expect(cache.residentBytes == 0 && cache.freePages == 1024)
        #expect(ledger.current[.kvCache] == 64 << 20)
    }

    @Test func `pages that were given back can be used again`() throws {
        let cache = try cache(pages: 64, ledgers: [nil, nil], groupSize: 4)
        #expect(cache.extend(sequence: 1, to: 64 * 16))
        for address in addresses(cache, 1, tokens: 64 * 16, layers: 2).joined() {
            let page = try #require(UnsafeMutablePointer<UInt32>(bitPattern: address))
            page.pointee = 7
        }
        cache.release(sequence: 1)
        #expect(cache.giveBack(unusedSince: .now) > 0)
        #expect(cache.extend(sequence: 2, to: 64 * 16))
        for address in addresses(cache, 2, tokens: 64 * 16, layers: 2).joined() {
            let page = try #require(UnsafeMutablePointer<UInt32>(bitPattern: address))
            #expect(page.pointee == 0)
            page.pointee = 8
            #expect(page.pointee == 8)
        }
    }
}
