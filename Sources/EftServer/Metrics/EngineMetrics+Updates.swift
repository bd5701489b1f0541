// SPDX-License-Identifier: Apache-2.0
// What is called when something happens in the engine.
import EftGeneration

/// The points in a request's life, in seconds of any one clock; nil for those that it did not reach.
package struct RequestTimes: Sendable, Hashable {
    /// When the server took it.
    package var arrival: Double
    /// When it was put in the engine's queue.
    package var queued: Double?
    /// When it was first part of a step.
    package var scheduled: Double?
    /// When its first token was there.
    package var firstToken: Double?
    /// When its last token was there.
    package var lastToken: Double?
    /// When it ended.
    package var finished: Double

    /// Begins with the two points that every request reaches.
    package init(arrival: Double, finished: Double) {
        self.arrival = arrival
        self.finished = finished
    }
}

/// What a sequence came to.
package struct FinishedRequest: Sendable, Hashable {
    /// Why it ended.
    package var reason: FinishReason
    /// When what happened.
    package var times: RequestTimes
    /// Tokens of its prompt.
    package var promptTokens: Int
    /// Those of them that were found in a cache.
    package var cachedTokens = 0
    /// Tokens generated.
    package var generationTokens: Int
    /// The most tokens that it asked for, if it did.
    package var maximumTokens: Int?
    /// Times that it had to give way.
    package var preemptions = 0

    /// Makes a record.
    package init(
        reason: FinishReason, times: RequestTimes, promptTokens: Int, generationTokens: Int
    ) {
        self.reason = reason
        self.times = times
        self.promptTokens = promptTokens
        self.generationTokens = generationTokens
    }
}

extension EngineMetrics {
    // MARK: State, set after each step

    /// Sets how many sequences run and wait: for room, or for something else.
    package func setQueue(running: Int, waitingForCapacity: Int, deferred: Int) {
        self.running.set(Double(running))
        waiting.set(Double(waitingForCapacity) + Double(deferred))
        self.waitingForCapacity.set(Double(waitingForCapacity))
        self.deferred.set(Double(deferred))
    }

    /// Sets the share of the KV cache in use, from 0 to 1.
    package func setCacheUsage(_ share: Double) { for gauge in cacheUsage { gauge.set(share) } }

    /// Sets which adapters run and wait.
    package func setAdapters(maximum: Int, running: [String], waiting: [String]) {
        let labels = [
            String(maximum), waiting.joined(separator: ","), running.joined(separator: ","),
        ]
        // Only the newest: each combination of names would else be kept for good.
        adapters.keepOnly(labels).set(UnixTime.now)
    }

    /// Publishes the cache's configuration, such as `("block_size", "16")`; to be called once.
    package func publishCacheConfiguration(_ configuration: [(name: String, value: String)]) {
        let all = configuration.map { ($0.name, $0.value) } + labels.filter { $0.0 == "engine" }
        registry.gauge(
            "vllm:cache_config_info", help: "The cache's configuration; the value is 1.",
            labels: all.map(\.0))[all.map(\.1)].set(1)
    }

    // MARK: Events

    /// A step has computed tokens of prompts, and generated some.
    package func iteration(promptTokens: Int, generationTokens: Int) {
        self.generationTokens.add(generationTokens)
        iterationTokens.observe(Double(promptTokens) + Double(generationTokens))
    }

    /// A prompt has been processed whose tokens came from a source.
    package func promptTokens(_ count: Int, from source: PromptTokenSource) {
        promptTokens.add(count)
        promptTokensBySource[source]?.add(count)
        guard source != .localCompute else { return }
        cachedTokens.add(count)
        cachedTokensBySource[source]?.add(count)
    }

    /// Tokens were looked up in the prefix cache, and some of them found.
    package func prefixCache(queries: Int, hits: Int) {
        prefixQueries.add(queries)
        prefixHits.add(hits)
    }

    /// A sequence had to give way.
    package func preempted() { preemptions.add() }

    /// A request was turned away.
    /// - Parameter reason: one of a few words.
    package func rejected(reason: String) {
        rejections[[labels.first?.1 ?? "", reason]].add()
    }

    /// A request's logits were not numbers.
    package func foundCorrupted() { corrupted.add() }

    /// An answer was searched for calls of tools.
    package func parsedToolCalls() { toolCallParsings.add() }

    /// Drafts were checked.
    /// - Parameter accepted: for each place in a draft, how many tokens were accepted there.
    package func draftsChecked(_ count: Int, tokens: Int, accepted: [Int]) {
        drafts.add(count)
        draftTokens.add(tokens)
        acceptedTokens.add(accepted.reduce(0, +))
        for (position, count) in accepted.enumerated() {
            acceptedByPosition[labels.map(\.1) + [String(position)]].add(count)
        }
    }

    // MARK: Times

    /// A request's first token is there, so long after its arrival.
    package func timeToFirstToken(_ seconds: Double) { firstToken.observe(seconds) }

    /// A further token of a sequence is there, so long after the one before.
    package func interTokenLatency(_ seconds: Double) {
        for histogram in interToken { histogram.observe(seconds) }
    }

    /// A sequence has ended.
    package func requestFinished(_ request: FinishedRequest) {
        successes[request.reason]?.add()
        let times = request.times
        endToEnd.observe(times.finished - times.arrival)
        EngineMetrics.observe(queueTime, from: times.queued, to: times.scheduled)
        EngineMetrics.observe(prefillTime, from: times.scheduled, to: times.firstToken)
        EngineMetrics.observe(decodeTime, from: times.firstToken, to: times.lastToken)
        EngineMetrics.observe(inferenceTime, from: times.scheduled, to: times.lastToken)
        if request.generationTokens > 1, let first = times.firstToken, let last = times.lastToken {
            timePerToken.observe((last - first) / Double(request.generationTokens - 1))
        }
        requestPromptTokens.observe(Double(request.promptTokens))
        requestGenerationTokens.observe(Double(request.generationTokens))
        computedPromptTokens.observe(Double(request.promptTokens - request.cachedTokens))
        if let maximum = request.maximumTokens { maximumTokens.observe(Double(maximum)) }
        requestPreemptions.observe(Double(request.preemptions))
    }

    /// All answers to a request have ended.
    /// - Parameters:
    ///   - answers: how many there were.
    ///   - longest: tokens of the longest.
    package func answersFinished(_ answers: Int, longest: Int) {
        self.answers.observe(Double(answers))
        longestGeneration.observe(Double(longest))
    }

    /// A page was evicted, so long after its first and its last use.
    package func pageEvicted(lifetime: Double, idle: Double) {
        pageLifetime.observe(lifetime)
        pageIdle.observe(idle)
    }

    /// A page was used again, so long after its last use.
    package func pageReused(after gap: Double) { pageReuse.observe(gap) }

    private static func observe(_ histogram: Histogram, from start: Double?, to end: Double?) {
        if let start, let end { histogram.observe(end - start) }
    }
}
