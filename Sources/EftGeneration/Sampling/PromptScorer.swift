// SPDX-License-Identifier: Apache-2.0
// Log-probabilities of tokens that are given, not sampled.

/// Scores the tokens of a prompt, as `prompt_logprobs` and `echo` report them.
package struct PromptScorer: Sendable {
    /// How many likeliest tokens to report beside each given one.
    package let count: Int

    /// Makes a scorer that reports `count` tokens beside each; not negative.
    package init(count: Int) { self.count = max(count, 0) }

    /// Scores the token that follows a place.
    /// - Parameters:
    ///   - logits: the place's row, one for each token of the vocabulary.
    ///   - next: the token that follows.
    /// - Throws: `SamplingError`: `damagedLogits`, or `nothingAllowed` when the row does not have the token.
    package func score(
        _ logits: UnsafeBufferPointer<Float>, next: Int32
    ) throws(SamplingError) -> SampledToken {
        try RowScores(LogitRow(logits)).score(next, count: count)
    }

    /// The likeliest tokens after a place, in order.
    /// - Throws: `SamplingError.damagedLogits`.
    package func likeliest(
        _ logits: UnsafeBufferPointer<Float>
    ) throws(SamplingError) -> [RankedToken] {
        try RowScores(LogitRow(logits)).likeliest(count)
    }
}
