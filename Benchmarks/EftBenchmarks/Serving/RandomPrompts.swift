// SPDX-License-Identifier: Apache-2.0
// Prompts of random tokens.
import EftTensor

/// A prompt and how long its answer is to be.
package struct RandomPrompt: Sendable, Hashable {
    /// The prompt.
    package let tokens: [Int32]
    /// Tokens of the answer.
    package let outputLength: Int

    /// Makes a prompt.
    package init(tokens: [Int32], outputLength: Int) {
        self.tokens = tokens
        self.outputLength = outputLength
    }
}

/// Samples prompts of random tokens; the same settings always sample the same.
package struct RandomPrompts: Sendable {
    /// Tokens of a prompt behind its prefix, and of an answer.
    package var inputLength = 1024
    package var outputLength = 128
    /// How far both may differ, as a share of them from 0 to below 1; sampled evenly.
    package var rangeRatio = 0.0
    /// Tokens with which prompts begin that share them, and how many such beginnings there are, taken in turn.
    package var prefixLength = 0
    package var prefixes = 1
    /// Token ids are below this.
    package var vocabulary: Int
    /// The seed of everything.
    package var seed: UInt64 = 0

    /// Starts from vLLM's lengths.
    package init(vocabulary: Int) { self.vocabulary = vocabulary }

    /// The lengths that may be sampled around one that was asked for.
    static func range(_ length: Int, ratio: Double) -> ClosedRange<Int> {
        let low = Int(exactly: (Double(length) * (1 - ratio)).rounded(.down)) ?? length
        let high = Int(exactly: (Double(length) * (1 + ratio)).rounded(.up)) ?? length
        return max(1, min(low, high))...max(1, high)
    }

    /// Samples so many.
    package func sample(_ count: Int) -> [RandomPrompt] {
        var random = SplitMix64(seed: seed)
        let top = Int32(clamping: max(vocabulary, 1))
        func tokens(_ count: Int) -> [Int32] {
            (0..<max(count, 0)).map { _ in Int32.random(in: 0..<top, using: &random) }
        }
        let beginnings = (0..<max(prefixes, 1)).map { _ in tokens(prefixLength) }
        let inputs = RandomPrompts.range(inputLength, ratio: rangeRatio)
        let outputs = RandomPrompts.range(outputLength, ratio: rangeRatio)
        return (0..<max(count, 0)).map { index in
            let own = Int.random(in: inputs, using: &random)
            return RandomPrompt(
                tokens: beginnings[index % beginnings.count] + tokens(own),
                outputLength: Int.random(in: outputs, using: &random))
        }
    }

    /// Words that most vocabularies hold as one token each, for servers that take only text.
    private static let words = [
        "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
        "school", "state", "family", "student", "group", "country", "problem", "hand", "part",
        "place", "case", "week", "company", "system", "program", "question", "work", "number",
        "night", "point", "home",
    ]

    /// A prompt as text of about as many tokens.
    package static func text(_ prompt: RandomPrompt) -> String {
        prompt.tokens.map { words[Int($0.magnitude) % words.count] }.joined(separator: " ")
    }
}
