// SPDX-License-Identifier: Apache-2.0
// How a sequence is to be continued.

/// Settings of one sequence's generation, under the names and with the ranges of vLLM.
package struct GenerationParameters: Sendable, Hashable {
    /// Most new tokens.
    package var maxTokens: Int
    /// 0 takes the likeliest token always.
    package var temperature: Float
    /// Only the k likeliest tokens; 0 for all.
    package var topK: Int
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    package var topP: Float
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all.
    package var minP: Float
    /// Logits of tokens that occurred are divided (or, when negative, multiplied) by this; 1 for none.
    package var repetitionPenalty: Float
    /// Seed of the draws.
    package var seed: UInt64
    /// Tokens that end the sequence and are not part of it.
    package var stopTokens: Set<Int32>

    /// Makes settings.
    package init(
        maxTokens: Int = 128, temperature: Float = 0, topK: Int = 0, topP: Float = 1,
        minP: Float = 0, repetitionPenalty: Float = 1, seed: UInt64 = 0,
        stopTokens: Set<Int32> = []
    ) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
        self.stopTokens = stopTokens
    }

    /// Checks the ranges.
    /// - Throws: `GenerationError` naming the setting.
    package func validate() throws(GenerationError) {
        func require(_ holds: Bool, _ message: String) throws(GenerationError) {
            if !holds { throw GenerationError(message) }
        }
        try require(maxTokens >= 1, "max-tokens must be at least 1, found \(maxTokens)")
        try require(
            temperature >= 0 && temperature.isFinite,
            "temperature must be 0 or more, found \(temperature)")
        try require(topK >= 0, "top-k must be 0 (off) or more, found \(topK)")
        try require(topP > 0 && topP <= 1, "top-p must lie in (0, 1], found \(topP)")
        try require(minP >= 0 && minP <= 1, "min-p must lie in [0, 1], found \(minP)")
        try require(
            repetitionPenalty > 0 && repetitionPenalty.isFinite,
            "repetition-penalty must be above 0, found \(repetitionPenalty)")
    }
}
