// SPDX-License-Identifier: Apache-2.0
import EftServer
import Testing

struct EngineMetricsTests {
    private let registry = MetricsRegistry()

    private func sample(_ name: String, _ labels: String = "") -> Double? {
        let all = ["engine=\"0\"", "model_name=\"m\""] + (labels.isEmpty ? [] : [labels])
        let start = "vllm:\(name){\(all.sorted().joined(separator: ","))} "
        return registry.text.split(separator: "\n").first { $0.hasPrefix(start) }
            .flatMap { Double($0.dropFirst(start.count)) }
    }

    @Test func `equal requests are counted exactly`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        let (requests, prompt, generated) = (3, 7, 5)
        for _ in 0..<requests {
            metrics.iteration(promptTokens: prompt, generationTokens: 1)
            metrics.promptTokens(prompt, from: .localCompute)
            metrics.timeToFirstToken(0.03)
            for _ in 1..<generated {
                metrics.iteration(promptTokens: 0, generationTokens: 1)
                metrics.interTokenLatency(0.02)
            }
            var times = RequestTimes(arrival: 10, finished: 12.25)
            times.queued = 10
            times.scheduled = 10.25
            times.firstToken = 10.5
            times.lastToken = 12
            var request = FinishedRequest(
                reason: .length, times: times, promptTokens: prompt, generationTokens: generated)
            request.maximumTokens = 5
            request.cachedTokens = 4
            metrics.requestFinished(request)
            metrics.answersFinished(1, longest: generated)
        }
        #expect(sample("time_to_first_token_seconds_count") == 3)
        #expect(sample("time_to_first_token_seconds_bucket", "le=\"0.02\"") == 0)
        #expect(sample("time_to_first_token_seconds_bucket", "le=\"0.04\"") == 3)
        #expect(sample("inter_token_latency_seconds_count") == 12)
        #expect(sample("time_per_output_token_seconds_count") == 12)
        #expect(sample("iteration_tokens_total_sum") == 36)
        #expect(sample("iteration_tokens_total_count") == 15)
        #expect(sample("prompt_tokens_total") == 21)
        #expect(sample("generation_tokens_total") == 15)
        #expect(sample("request_success_total", "finished_reason=\"length\"") == 3)
        #expect(sample("request_success_total", "finished_reason=\"stop\"") == 0)
        #expect(sample("request_queue_time_seconds_sum") == 0.75)
        #expect(sample("request_prefill_time_seconds_sum") == 0.75)
        #expect(sample("request_decode_time_seconds_sum") == 4.5)
        #expect(sample("request_inference_time_seconds_sum") == 5.25)
        #expect(sample("e2e_request_latency_seconds_sum") == 6.75)
        #expect(sample("request_time_per_output_token_seconds_sum") == 1.125)
        #expect(sample("request_prefill_kv_computed_tokens_sum") == 9)
        #expect(sample("request_prompt_tokens_sum") == 21)
        #expect(sample("request_generation_tokens_sum") == 15)
        #expect(sample("request_params_max_tokens_sum") == 15)
        #expect(sample("request_params_n_count") == 3)
        #expect(sample("request_max_num_generation_tokens_sum") == 15)
        #expect(sample("request_num_preemptions_bucket", "le=\"1.0\"") == 3)
    }

    @Test func `a request that never ran has no times but its whole one`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        var times = RequestTimes(arrival: 1, finished: 3)
        times.queued = 1
        metrics.requestFinished(
            FinishedRequest(reason: .abort, times: times, promptTokens: 5, generationTokens: 0))
        #expect(sample("e2e_request_latency_seconds_count") == 1)
        #expect(sample("request_queue_time_seconds_count") == 0)
        #expect(sample("request_decode_time_seconds_count") == 0)
        #expect(sample("request_success_total", "finished_reason=\"abort\"") == 1)
    }

    @Test func `the state is what was set last`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        metrics.setQueue(running: 4, waitingForCapacity: 2, deferred: 1)
        #expect(sample("num_requests_running") == 4)
        #expect(sample("num_requests_waiting") == 3)
        #expect(sample("num_requests_waiting_by_reason", "reason=\"capacity\"") == 2)
        #expect(sample("num_requests_waiting_by_reason", "reason=\"deferred\"") == 1)
        metrics.setQueue(running: 0, waitingForCapacity: 0, deferred: 0)
        #expect(sample("num_requests_running") == 0)
        #expect(sample("num_requests_waiting") == 0)
        metrics.setCacheUsage(0.25)
        #expect(sample("kv_cache_usage_perc") == 0.25)
        #expect(sample("gpu_cache_usage_perc") == 0.25)
        #expect(sample("engine_sleep_state", "sleep_state=\"awake\"") == 1)
        #expect(sample("engine_sleep_state", "sleep_state=\"discard_all\"") == 0)
    }

    @Test func `only the newest adapters are published`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        for round in 0..<50 {
            metrics.setAdapters(maximum: 2, running: ["a\(round)", "b"], waiting: ["c"])
        }
        let lines = registry.text.split(separator: "\n").filter {
            $0.hasPrefix("vllm:lora_requests_info{")
        }
        #expect(lines.count == 1)
        #expect(
            lines.first?.hasPrefix(
                "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"a49,b\",waiting_lora_adapters=\"c\"} "
            ) == true)
    }

    @Test func `tokens of prompts are told apart by their sources`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        metrics.promptTokens(10, from: .localCompute)
        metrics.promptTokens(32, from: .localCacheHit)
        metrics.prefixCache(queries: 42, hits: 32)
        #expect(sample("prompt_tokens_by_source_total", "source=\"local_compute\"") == 10)
        #expect(sample("prompt_tokens_by_source_total", "source=\"local_cache_hit\"") == 32)
        #expect(sample("prompt_tokens_total") == 42)
        #expect(sample("prompt_tokens_cached_total") == 32)
        #expect(sample("prompt_tokens_cached_by_source_total", "source=\"local_cache_hit\"") == 32)
        #expect(sample("prefix_cache_queries_total") == 42)
        #expect(sample("prefix_cache_hits_total") == 32)
    }

    @Test func `the cache's configuration is published`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        metrics.publishCacheConfiguration([("block_size", "16"), ("cache_dtype", "auto")])
        #expect(
            registry.text.contains(
                "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",engine=\"0\"} 1.0\n")
        )
    }

    @Test func `drafts and rejections are counted`() {
        let metrics = EngineMetrics(registry, modelName: "m", maximumLength: 4096)
        metrics.draftsChecked(2, tokens: 6, accepted: [2, 1, 0])
        metrics.rejected(reason: "queue_full")
        #expect(sample("spec_decode_num_drafts_total") == 2)
        #expect(sample("spec_decode_num_accepted_tokens_total") == 3)
        #expect(sample("spec_decode_num_accepted_tokens_per_pos_total", "position=\"1\"") == 1)
        #expect(
            registry.text.contains(
                "vllm:admission_rejections_total{model_name=\"m\",reason=\"queue_full\"} 1.0\n"))
    }

    @Test(arguments: [
        (1, [1]), (4, [1, 2]), (100, [1, 2, 5, 10, 20, 50, 100]), (0, []),
        (2048, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]),
    ])
    func `buckets of tokens end at the longest sequence`(limit: Int, bounds: [Int]) {
        _ = EngineMetrics(registry, modelName: "m", maximumLength: limit)
        let lines = registry.text.split(separator: "\n").filter {
            $0.hasPrefix("vllm:request_prompt_tokens_bucket")
        }
        let found = lines.compactMap { line in
            line.split(separator: "le=\"").last?.prefix { $0 != "\"" }
        }
        #expect(found.map(String.init) == bounds.map { "\($0).0" } + ["+Inf"])
    }

    @Test func `a length beyond all numbers gives buckets too`() {
        _ = EngineMetrics(registry, modelName: "m", maximumLength: .max)
        #expect(registry.text.contains("le=\"5e+18\""))
    }
}
