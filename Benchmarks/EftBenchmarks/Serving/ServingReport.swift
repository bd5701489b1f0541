// SPDX-License-Identifier: Apache-2.0
// Figures of a run against a server, as vLLM defines them.

/// What requests came to together.
package struct ServingReport: Sendable {
    /// What is reported and how it was asked for.
    package struct Options: Sendable {
        /// The times with sections of their own.
        package var metrics: [ServingMetric] = [
            .timeToFirstToken, .timePerOutputToken, .interTokenLatency,
        ]
        /// Their percentiles.
        package var percentiles: [Double] = [99]
        /// What good requests keep.
        package var goals = ServingGoals()
        /// Most requests under way; nil for any number.
        package var maxConcurrency: Int?
        /// Requests a second; nil for all at once.
        package var rate: Double?

        /// The defaults.
        package init() {}
    }

    /// What was asked for.
    package let options: Options
    /// What became of each request.
    package let outcomes: [RequestOutcome]
    /// Seconds of the whole run.
    package let duration: Double
    /// Those that succeeded.
    package let completed: [RequestOutcome]

    /// Sums up a run.
    package init(_ outcomes: [RequestOutcome], duration: Double, options: Options) {
        self.outcomes = outcomes
        self.duration = duration
        self.options = options
        completed = outcomes.filter(\.isComplete)
    }

    /// Requests that failed.
    package var failed: Int { outcomes.count - completed.count }
    /// Tokens of the prompts of those that succeeded, and of their answers.
    package var inputTokens: Int { completed.reduce(0) { $0 + $1.promptTokens } }
    package var outputTokens: Int { completed.reduce(0) { $0 + $1.outputTokens } }

    private func rate(_ count: Int) -> Double { duration > 0 ? Double(count) / duration : 0 }

    /// Requests a second.
    package var requestThroughput: Double { rate(completed.count) }
    /// Requests a second that keep the goals; nil without goals.
    package var requestGoodput: Double? {
        options.goals.isEmpty
            ? nil : rate(completed.filter { options.goals.areMet(by: $0) }.count)
    }
    /// Tokens of answers a second.
    package var outputThroughput: Double { rate(outputTokens) }
    /// Tokens a second, those of prompts too.
    package var totalThroughput: Double { rate(inputTokens + outputTokens) }

    /// Chunks in the best second of the run, counted from its first request.
    package var peakOutput: Int {
        guard let begin = completed.map(\.start).min() else { return 0 }
        var chunks: [Int: Int] = [:]
        func note(_ time: Double) { chunks[Int(min(max(time, 0), 1e9)), default: 0] += 1 }
        for outcome in completed {
            guard let first = outcome.timeToFirstToken else { continue }
            var time = outcome.start - begin + first
            note(time)
            for gap in outcome.interTokenLatencies {
                time += gap
                note(time)
            }
        }
        return chunks.values.max() ?? 0
    }

    /// Most requests that were under way at once.
    package var peakConcurrency: Int {
        var changes = completed.map { (time: $0.start, change: 1) }
        changes += completed.map { (time: $0.end, change: -1) }
        // One that ends makes room for one that begins at the same time.
        changes.sort { $0.time == $1.time ? $0.change < $1.change : $0.time < $1.time }
        var (running, most) = (0, 0)
        for change in changes {
            running += change.change
            most = max(most, running)
        }
        return most
    }

    /// Each time in milliseconds.
    package func statistics(_ metric: ServingMetric) -> Statistics {
        Statistics(metric.values(completed).map { $0 * 1000 })
    }

    /// A percentile's name, such as `99` or `99.9`.
    static func name(_ percentile: Double) -> String {
        let whole = percentile.rounded()
        return whole == percentile && whole.magnitude <= 100
            ? "\(Int(whole))" : "\(percentile)"
    }
}
