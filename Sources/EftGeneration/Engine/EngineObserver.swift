// SPDX-License-Identifier: Apache-2.0
// What the engine tells those who count: steps and requests.
import EftNN

/// A step of the engine.
package struct StepRecord: Sendable {
    /// Tokens computed, drafts included.
    package var tokens = 0
    /// Prompt tokens among them, those read again after a preemption included.
    package var promptTokens = 0
    /// Tokens sampled and kept.
    package var sampledTokens = 0
    /// Sequences that gave their pages back.
    package var preemptions = 0
    /// Tokens of prompts looked up among the pages, and those found.
    package var cacheQueries = 0
    package var cacheHits = 0
    /// Sequences with drafts, drafted tokens, and how many were accepted at each place.
    package var drafts = 0
    package var draftTokens = 0
    package var acceptedAt: [Int] = []
    /// Time in the decoder's passes and in its logits; the rest of a step divides it up and samples.
    package var computing = Duration.zero
    /// Time of samples.
    package var sampling = Duration.zero
    /// Pages in use while the step was computed, and tokens that stand in them.
    package var usedPages = 0
    package var heldTokens = 0
    /// What happened to pages since the step before.
    package var pages = PageEvents()
}

/// A request that has ended.
package struct RequestRecord: Sendable {
    /// Why its samples ended, in the order in which they did, and tokens of each.
    package var reasons: [FinishReason] = []
    package var answers: [Int] = []
    /// Tokens of the prompt, and those found among the pages.
    package var promptTokens = 0
    package var cachedTokens = 0
    /// What was asked for.
    package var maxTokens = 0
    package var samples = 1
    /// How often it gave its pages back.
    package var preemptions = 0
    /// Whether its logits were not numbers.
    package var isDamaged = false
    /// From arrival to the first scheduled token; nil when it never was.
    package var queue: Duration?
    /// From there to the first token sampled.
    package var prefill: Duration?
    /// From the first token to the last.
    package var decode: Duration?
    /// From arrival to the end.
    package var whole = Duration.zero
}

/// Listens to an engine. Called on the engine's thread; must not wait.
package protocol EngineObserver: AnyObject, Sendable {
    /// A step was made.
    func stepped(_ step: StepRecord)
    /// A sample's first token, so long after the request came.
    func sampledFirst(after: Duration)
    /// A further token of a sample, so long after the one before.
    func sampledNext(after: Duration)
    /// A request has ended with all its samples.
    func ended(_ request: RequestRecord)
}
