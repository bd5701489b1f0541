// SPDX-License-Identifier: Apache-2.0
// A run's figures for machines, under vLLM's keys.
import EftConfig

/// What a saved run says of how it was made.
package struct ServingSettings: Sendable {
    /// When it began, such as `20260131-235959`.
    package var date: String
    /// The kind of interface.
    package var backend: String
    /// What the server calls the model.
    package var model: String
    /// Requests asked for.
    package var prompts: Int
    /// See `ArrivalSchedule`.
    package var burstiness: Double

    /// Describes a run.
    package init(date: String, backend: String, model: String, prompts: Int, burstiness: Double) {
        self.date = date
        self.backend = backend
        self.model = model
        self.prompts = prompts
        self.burstiness = burstiness
    }
}

extension ServingReport {
    /// The figures.
    /// - Parameter isDetailed: whether each request's own figures stand there too.
    package func node(_ settings: ServingSettings, isDetailed: Bool) -> ConfigNode {
        var object: ConfigObject = [
            "date": ConfigNode(settings.date), "endpoint_type": ConfigNode(settings.backend),
            "backend": ConfigNode(settings.backend), "label": .null,
            "model_id": ConfigNode(settings.model), "tokenizer_id": ConfigNode(settings.model),
            "num_prompts": ConfigNode(settings.prompts),
            "request_rate": options.rate.map { ConfigNode($0) } ?? "inf",
            "burstiness": ConfigNode(settings.burstiness),
            "max_concurrency": options.maxConcurrency.map { ConfigNode($0) } ?? .null,
            "duration": ConfigNode(duration), "completed": ConfigNode(completed.count),
            "failed": ConfigNode(failed), "total_input_tokens": ConfigNode(inputTokens),
            "total_output_tokens": ConfigNode(outputTokens),
            "request_throughput": ConfigNode(requestThroughput),
            "request_goodput": requestGoodput.map { ConfigNode($0) } ?? .null,
            "output_throughput": ConfigNode(outputThroughput),
            "total_token_throughput": ConfigNode(totalThroughput),
            "max_output_tokens_per_s": ConfigNode(Double(peakOutput)),
            "max_concurrent_requests": ConfigNode(peakConcurrency),
        ]
        for metric in ServingMetric.allCases where options.metrics.contains(metric) {
            let statistics = statistics(metric)
            let name = metric.rawValue
            object["mean_\(name)_ms"] = ConfigNode(statistics.mean)
            object["median_\(name)_ms"] = ConfigNode(statistics.median)
            object["std_\(name)_ms"] = ConfigNode(statistics.deviation)
            for percentile in options.percentiles {
                object["p\(Self.name(percentile))_\(name)_ms"] = ConfigNode(
                    statistics.percentile(percentile))
            }
        }
        if isDetailed { addDetails(&object) }
        return ConfigNode(object)
    }

    private func addDetails(_ object: inout ConfigObject) {
        object["input_lens"] = ConfigNode(outcomes.map(\.promptTokens))
        object["output_lens"] = ConfigNode(outcomes.map { $0.isComplete ? $0.outputTokens : 0 })
        object["ttfts"] = ConfigNode(outcomes.map { $0.timeToFirstToken ?? 0 })
        object["itls"] = ConfigNode(outcomes.map { ConfigNode($0.interTokenLatencies) })
        object["generated_texts"] = ConfigNode(outcomes.map(\.text))
        object["errors"] = ConfigNode(outcomes.map { $0.error ?? "" })
        object["start_times"] = ConfigNode(outcomes.map(\.start))
        object["latencies"] = ConfigNode(outcomes.map(\.latency))
        object["queue_times"] = ConfigNode(outcomes.map { max(0, $0.start - $0.arrival) })
    }
}
