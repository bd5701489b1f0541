// SPDX-License-Identifier: Apache-2.0
// The bounds within which the engine works.

/// Which waiting request comes next, and which running one gives way.
package enum SchedulingPolicy: String, Sendable, CaseIterable {
    /// First come, first served.
    case fcfs
    /// The lowest number of priority first; among equals the first that came.
    case priority
}

/// Bounds of an engine, under vLLM's names.
package struct EngineConfiguration: Sendable {
    /// Most tokens of a sequence, prompt and answer.
    package var maxModelLength: Int
    /// Most sequences in a step.
    package var maxSequences: Int
    /// Most tokens in a step.
    package var maxBatchedTokens: Int
    /// Most tokens of one prompt in a step; 0 for as many as there is room for.
    package var longPrefillThreshold = 0
    /// Whether sequences of different requests share pages.
    package var prefixCaching = true
    /// How long pages that no request uses stay in memory with what they cache; nil for as long as the engine.
    package var idlePageTime: Duration? = .seconds(300)
    /// Who comes first.
    package var policy = SchedulingPolicy.fcfs
    /// Most requests that wait; nil for any number.
    package var maxQueuedRequests: Int?
    /// Most tokens that wait to be read; nil for any number.
    package var maxQueuedTokens: Int?
    /// Bounds of the requests' settings; the vocabulary is the decoder's.
    package var limits = GenerationLimits(
        maxLogprobs: -1, maxStopStrings: 16, allowsNoTokens: true)
    /// Tokens drafted for each sequence in a step; 0 without speculation.
    package var draftTokens = 0

    /// Sets the bounds.
    package init(maxModelLength: Int, maxSequences: Int, maxBatchedTokens: Int) {
        self.maxModelLength = maxModelLength
        self.maxSequences = maxSequences
        self.maxBatchedTokens = max(maxBatchedTokens, maxSequences)
    }
}
