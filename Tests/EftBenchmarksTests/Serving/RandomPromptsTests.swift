// SPDX-License-Identifier: Apache-2.0
// Random prompts have the lengths and beginnings that were asked for.
import EftBenchmarks
import Testing

@Suite struct RandomPromptsTests {
    @Test func `lengths, ids and seed`() {
        var prompts = RandomPrompts(vocabulary: 300)
        prompts.inputLength = 40
        prompts.outputLength = 10
        let drawn = prompts.draw(50)
        #expect(drawn.allSatisfy { $0.tokens.count == 40 && $0.outputLength == 10 })
        #expect(drawn.allSatisfy { $0.tokens.allSatisfy { (0..<300).contains($0) } })
        #expect(Set(drawn.flatMap(\.tokens)).count > 290)
        #expect(Set(drawn).count == 50)
        #expect(prompts.draw(50) == drawn)
        prompts.seed = 1
        #expect(prompts.draw(50) != drawn)
    }

    @Test func `lengths differ within the ratio`() {
        var prompts = RandomPrompts(vocabulary: 300)
        prompts.inputLength = 10
        prompts.outputLength = 1
        prompts.rangeRatio = 0.5
        let drawn = prompts.draw(2000)
        #expect(Set(drawn.map(\.tokens.count)) == Set(5...15))
        #expect(Set(drawn.map(\.outputLength)) == [1, 2])
    }

    @Test func `beginnings are shared in turn`() {
        var prompts = RandomPrompts(vocabulary: 5000)
        prompts.inputLength = 3
        prompts.prefixLength = 20
        prompts.prefixes = 2
        let drawn = prompts.draw(6)
        #expect(drawn.allSatisfy { $0.tokens.count == 23 })
        let beginnings = drawn.map { Array($0.tokens.prefix(20)) }
        #expect(Set(beginnings).count == 2)
        #expect(beginnings[0] == beginnings[2] && beginnings[1] == beginnings[5])
        #expect(Set(drawn.map { Array($0.tokens.suffix(3)) }).count == 6)
    }

    @Test func `text has a word for each token`() {
        var prompts = RandomPrompts(vocabulary: 50)
        prompts.inputLength = 12
        let text = RandomPrompts.text(prompts.draw(1)[0])
        #expect(text.split(separator: " ").count == 12)
    }
}
