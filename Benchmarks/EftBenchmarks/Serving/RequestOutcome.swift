// SPDX-License-Identifier: Apache-2.0
// What became of a request, as its client saw it.

/// What became of a request; times are seconds since the run began.
package struct RequestOutcome: Sendable, Hashable {
    /// When it was to be sent, and when it was.
    package var arrival = 0.0
    package var start = 0.0
    /// From sending to the first chunk with choices; nil when there was none.
    package var timeToFirstToken: Double?
    /// Gaps between chunks with choices; a chunk may carry any number of tokens.
    package var interTokenLatencies: [Double] = []
    /// From sending to the last chunk with choices.
    package var latency = 0.0
    /// When the connection was done with.
    package var end = 0.0
    /// Tokens of the prompt and of the answer, by the server's count where it gives one.
    package var promptTokens = 0
    package var outputTokens = 0
    /// The answer.
    package var text = ""
    /// What went wrong; nil for a request that succeeded.
    package var error: String?

    /// Starts with nothing.
    package init() {}

    /// Whether the whole answer came.
    package var isComplete: Bool { error == nil }

    /// Seconds a token behind the first one; nil for answers of one token.
    package var timePerOutputToken: Double? {
        guard let first = timeToFirstToken, outputTokens > 1 else { return nil }
        return (latency - first) / Double(outputTokens - 1)
    }
}
