// SPDX-License-Identifier: Apache-2.0
// From the engine's records to the numbers that are published.
import EftGeneration
import EftTensor

/// Counts what an engine does.
final class EngineMetricsObserver: EngineObserver {
    private let metrics: EngineMetrics

    init(_ metrics: EngineMetrics) { self.metrics = metrics }

    func stepped(_ step: StepRecord) {
        metrics.iteration(promptTokens: step.promptTokens, generationTokens: step.sampledTokens)
        metrics.prefixCache(queries: step.cacheQueries, hits: step.cacheHits)
        for _ in 0..<step.preemptions { metrics.preempted() }
        if step.drafts > 0 {
            metrics.draftsChecked(
                step.drafts, tokens: step.draftTokens, accepted: step.acceptedAt)
        }
        for eviction in step.pages.evictions {
            metrics.pageEvicted(
                lifetime: eviction.lifetime.seconds, idle: eviction.idle.seconds)
        }
        for gap in step.pages.reuses { metrics.pageReused(after: gap.seconds) }
    }

    func sampledFirst(after time: Duration) { metrics.timeToFirstToken(time.seconds) }

    func sampledNext(after time: Duration) { metrics.interTokenLatency(time.seconds) }

    func ended(_ request: RequestRecord) {
        // Times are counted from the request's arrival.
        let queue = request.queue.map(\.seconds)
        let first = queue.flatMap { queue in request.prefill.map { queue + $0.seconds } }
        var times = RequestTimes(arrival: 0, finished: request.whole.seconds)
        times.queued = 0
        times.scheduled = queue
        times.firstToken = first
        times.lastToken = first.flatMap { first in request.decode.map { first + $0.seconds } }
        for (reason, tokens) in zip(request.reasons, request.answers) {
            var finished = FinishedRequest(
                reason: reason, times: times, promptTokens: request.promptTokens,
                generationTokens: tokens)
            finished.cachedTokens = request.cachedTokens
            finished.maximumTokens = request.maxTokens
            finished.preemptions = request.preemptions
            metrics.requestFinished(finished)
        }
        if request.queue != nil {
            metrics.promptTokens(
                request.promptTokens - request.cachedTokens, from: .localCompute)
            metrics.promptTokens(request.cachedTokens, from: .localCacheHit)
        }
        if request.isDamaged { metrics.foundCorrupted() }
        metrics.answersFinished(request.samples, longest: request.answers.max() ?? 0)
    }
}
