// SPDX-License-Identifier: Apache-2.0
// An answer while it is made, and what it came to.
import EftGeneration

/// What happens while an answer is made.
public enum GenerationEvent: Sendable, Hashable {
    /// The next part of the text.
    case text(String)
    /// The answer is done; nothing follows.
    case finished(GenerationResult)
}

/// A finished answer.
public struct GenerationResult: Sendable, Hashable {
    /// Why an answer ended.
    public enum Reason: String, Sendable, Hashable {
        /// The model ended it, or a stop text was found.
        case stop
        /// It reached `maxTokens`, or the end of the context.
        case length
        /// The caller wanted no more.
        case cancelled
    }

    /// The whole text.
    public let text: String
    /// Why it ended.
    public let reason: Reason
    /// Tokens of the prompt.
    public let promptTokens: Int
    /// Tokens of the prompt that were in the cache and needed no reading.
    public let cachedTokens: Int
    /// Tokens of the answer.
    public let tokens: Int
    /// Seconds until the first token.
    public let secondsToFirstToken: Double
    /// Seconds from the first token to the last one.
    public let generationSeconds: Double

    /// Tokens a second after the first one; 0 for answers of a single token.
    public var tokensPerSecond: Double {
        tokens > 1 && generationSeconds > 0 ? Double(tokens - 1) / generationSeconds : 0
    }
}
