// SPDX-License-Identifier: Apache-2.0
// Proposals equal those found by trying all places.
import EftGeneration
import EftTensor
import Testing

@Suite struct NGramProposerTests {
    private func proposal(
        _ tokens: [Int32], sizes: ClosedRange<Int> = 2...4, count: Int = 3
    ) -> [Int32] {
        var proposer = NGramProposer(sizes: sizes)
        proposer.append(tokens)
        return proposer.propose(count)
    }

    @Test func `what followed the last occurrence of the longest end is proposed`() {
        #expect(proposal([1, 2, 3, 9, 1, 2, 4, 9, 7, 1, 2]) == [4, 9, 7])
        #expect(proposal([5, 1, 2, 6, 7, 8, 1, 2, 9, 5, 1, 2]) == [6, 7, 8])
        #expect(proposal([1, 2, 3, 4]) == [])
        #expect(proposal([]) == [] && proposal([1]) == [])
        #expect(proposal([1, 2, 1, 2], count: 0) == [])
        #expect(proposal([3, 4, 3], sizes: 1...1) == [4, 3, 4])
        #expect(proposal([3, 4, 3], sizes: 2...4) == [])
    }

    @Test func `a repetition goes on`() {
        #expect(proposal([7, 7, 7], count: 5) == [7, 7, 7, 7, 7])
        #expect(proposal([1, 2, 3, 1, 2, 3], count: 7) == [1, 2, 3, 1, 2, 3, 1])
    }

    @Test func `random sequences give what trying all places gives`() {
        var random = SplitMix64(seed: 8)
        for round in 0..<60 {
            let sizes = [1...3, 2...4, 3...3, 1...16][round % 4]
            var proposer = NGramProposer(sizes: sizes)
            var tokens: [Int32] = []
            for _ in 0..<150 {
                let token = Int32.random(in: -2..<Int32(round % 7 + 2), using: &random)
                tokens.append(token)
                proposer.append([token])
                #expect(proposer.propose(4) == search(tokens, sizes, 4))
            }
            #expect(proposer.count == 150)
        }
    }

    private func search(_ tokens: [Int32], _ sizes: ClosedRange<Int>, _ count: Int) -> [Int32] {
        for size in sizes.reversed() where tokens.count > size {
            let end = tokens.suffix(size)
            let places = (size..<tokens.count).filter { tokens[$0 - size..<$0] == end }
            guard let place = places.last else { continue }
            var longer = tokens
            for offset in 0..<count { longer.append(longer[place + offset]) }
            return Array(longer.suffix(count))
        }
        return []
    }

    @Test func `many tokens are found again`() {
        let tokens = (0..<50_000).map { Int32($0 % 20_011) }
        #expect(proposal(tokens, count: 2) == [Int32(50_000 % 20_011), Int32(50_001 % 20_011)])
    }
}
