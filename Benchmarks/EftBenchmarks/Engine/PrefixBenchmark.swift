// SPDX-License-Identifier: Apache-2.0
// What a prompt gains by having its beginning in the cache.
import EftCommandLine
import EftConfig
import EftModels

/// Times the first token of a long prompt, unknown and known but for its last tokens.
package struct PrefixBenchmark {
    /// Tokens of the prompt, and those at its end that are new.
    package var length = 2000
    package var newTokens = 4
    /// Prompts that are tried.
    package var iterations = 3
    /// Seed of the prompts.
    package var seed: UInt64 = 0
    /// Whether to stop now.
    package var isStopped: () -> Bool = { false }

    /// Tokens of an answer: pages are known to other prompts from the step on that follows the reading.
    private static let outputLength = 2

    /// Starts from the figures that are published.
    package init() {}

    /// Tokens of the longest sequence.
    package var longest: Int { length + Self.outputLength }

    /// Runs; the options' prefix caching counts as on.
    /// - Throws: as `EngineBench`.
    package func run(_ decoder: Decoder, _ options: EngineBenchOptions) throws -> PrefixFigures {
        var options = options
        options.prefixCaching = true
        let bench = try EngineBench(decoder, options)
        bench.isStopped = isStopped
        var prompts = RandomPrompts(vocabulary: decoder.description.vocabulary)
        prompts.inputLength = length
        prompts.outputLength = Self.outputLength
        prompts.seed = seed
        let known = min(max(newTokens, 1), length - 1)
        _ = try bench.run([RandomPrompt(tokens: [0], outputLength: 1)])
        var figures = PrefixFigures(length: length, newTokens: known)
        for prompt in prompts.sample(iterations) {
            let cold = try bench.run([prompt])
            // Other tokens at the end: each is moved on by one.
            let top = Int32(clamping: decoder.description.vocabulary)
            let end = prompt.tokens.suffix(known).map { ($0 + 1) % top }
            let warm = try bench.run([
                RandomPrompt(
                    tokens: prompt.tokens.dropLast(known) + end,
                    outputLength: Self.outputLength)
            ])
            figures.cold += cold.timesToFirstToken
            figures.warm += warm.timesToFirstToken
            figures.cachedTokens = warm.cachedTokens
        }
        return figures
    }
}

/// Times of first tokens, as medians.
package struct PrefixFigures: Sendable {
    /// Tokens of the prompts, and of their new ends.
    package let length: Int
    package let newTokens: Int
    /// Seconds to the first token.
    package fileprivate(set) var cold: [Double] = []
    package fileprivate(set) var warm: [Double] = []
    /// Tokens of the last prompt that were found.
    package fileprivate(set) var cachedTokens = 0

    fileprivate init(length: Int, newTokens: Int) {
        self.length = length
        self.newTokens = newTokens
    }

    private var coldMedian: Double { Statistics(cold).median }
    private var warmMedian: Double { Statistics(warm).median }

    /// How many times sooner the first token of a known prompt comes.
    package var ratio: Double { warmMedian > 0 ? coldMedian / warmMedian : 0 }

    /// The lines for people.
    package var text: String {
        func milliseconds(_ seconds: Double) -> String {
            formatFixed(seconds * 1000, decimals: 2)
        }
        return """
            TTFT of \(length) tokens, cold (ms): \(milliseconds(coldMedian))
            TTFT with all but \(newTokens) shared (ms): \(milliseconds(warmMedian))
            Cached tokens: \(cachedTokens)
            Ratio: \(formatFixed(ratio, decimals: 2))
            """
    }

    /// The figures for machines.
    package var node: ConfigNode {
        [
            "prompt_tokens": ConfigNode(length), "new_tokens": ConfigNode(newTokens),
            "cached_tokens": ConfigNode(cachedTokens),
            "cold_ttft_ms": ConfigNode(coldMedian * 1000),
            "warm_ttft_ms": ConfigNode(warmMedian * 1000), "ratio": ConfigNode(ratio),
        ]
    }
}
