// SPDX-License-Identifier: Apache-2.0
// Random prompts have the lengths and beginnings that were asked for.
import EftBenchmarks
import Testing

@Suite struct RandomPromptsTests {
    @Test func `lengths, ids and seed`() {
        var prompts = RandomPrompts(vocabulary: 300)
        prompts.inputLength = 40
        prompts.outputLength = 10
        let sampled = prompts.sample(50)
        #expect(sampled.allSatisfy { $0.tokens.count == 40 && $0.outputLength == 10 })
        #expect(sampled.allSatisfy { $0.tokens.allSatisfy { (0..<300).contains($0) } })
        #expect(Set(sampled.flatMap(\.tokens)).count > 290)
        #expect(Set(sampled).count == 50)
        #expect(prompts.sample(50) == sampled)
        prompts.seed = 1
        #expect(prompts.sample(50) != sampled)
    }

    @Test func `lengths differ within the ratio`() {
        var prompts = RandomPrompts(vocabulary: 300)
        prompts.inputLength = 10
        prompts.outputLength = 1
        prompts.rangeRatio = 0.5
        let sampled = prompts.sample(2000)
        #expect(Set(sampled.map(\.tokens.count)) == Set(5...15))
        #expect(Set(sampled.map(\.outputLength)) == [1, 2])
    }

    @Test func `beginnings are shared in turn`() {
        var prompts = RandomPrompts(vocabulary: 5000)
        prompts.inputLength = 3
        prompts.prefixLength = 20
        prompts.prefixes = 2
        let sampled = prompts.sample(6)
        #expect(sampled.allSatisfy { $0.tokens.count == 23 })
        let beginnings = sampled.map { Array($0.tokens.prefix(20)) }
        #expect(Set(beginnings).count == 2)
        #expect(beginnings[0] == beginnings[2] && beginnings[1] == beginnings[5])
        #expect(Set(sampled.map { Array($0.tokens.suffix(3)) }).count == 6)
    }

    @Test func `text has a word for each token`() {
        var prompts = RandomPrompts(vocabulary: 50)
        prompts.inputLength = 12
        let text = RandomPrompts.text(prompts.sample(1)[0])
        #expect(text.split(separator: " ").count == 12)
    }
}
