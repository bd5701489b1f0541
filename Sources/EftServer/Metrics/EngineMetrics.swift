// SPDX-License-Identifier: Apache-2.0
// The engine's numbers, under vLLM's names, so that its dashboards and alerts work unchanged.
import EftGeneration

/// Where the tokens of a prompt came from.
package enum PromptTokenSource: String, Sendable, CaseIterable {
    case localCompute = "local_compute"
    case localCacheHit = "local_cache_hit"
    case externalTransfer = "external_kv_transfer"
}

/// All numbers of an engine. `EngineMetrics+Updates.swift` has what is called when something happens.
package struct EngineMetrics: Sendable {
    // State.
    let running: Gauge
    let waiting: Gauge
    let waitingForCapacity: Gauge
    let deferred: Gauge
    let cacheUsage: [Gauge]
    let adapters: MetricFamily<Gauge>

    // Events.
    let preemptions: Counter
    let promptTokens: Counter
    let promptTokensBySource: [PromptTokenSource: Counter]
    let cachedTokens: Counter
    let cachedTokensBySource: [PromptTokenSource: Counter]
    let generationTokens: Counter
    let successes: [FinishReason: Counter]
    let prefixQueries: Counter
    let prefixHits: Counter
    let rejections: MetricFamily<Counter>
    let corrupted: Counter
    let toolCallParsings: Counter
    let drafts: Counter
    let draftTokens: Counter
    let acceptedTokens: Counter
    let acceptedByPosition: MetricFamily<Counter>

    // Distributions.
    let firstToken: Histogram
    let interToken: [Histogram]
    let timePerToken: Histogram
    let endToEnd: Histogram
    let queueTime: Histogram
    let inferenceTime: Histogram
    let prefillTime: Histogram
    let decodeTime: Histogram
    let requestPromptTokens: Histogram
    let requestGenerationTokens: Histogram
    let longestGeneration: Histogram
    let maximumTokens: Histogram
    let computedPromptTokens: Histogram
    let iterationTokens: Histogram
    let answers: Histogram
    let requestPreemptions: Histogram
    let pageLifetime: Histogram
    let pageIdle: Histogram
    let pageReuse: Histogram

    let registry: MetricsRegistry
    let labels: [(String, String)]

    /// Adds all families to a registry.
    /// - Parameters:
    ///   - modelName: the name under which the model is served.
    ///   - engine: the engine's number.
    ///   - maximumLength: the most tokens of a sequence, up to which there are buckets.
    package init(
        _ registry: MetricsRegistry, modelName: String, engine: Int = 0, maximumLength: Int
    ) {
        self.registry = registry
        let add = EngineFamilies(registry: registry, model: modelName, engine: String(engine))
        labels = add.base
        let tokens = MetricBuckets.tokens(upTo: maximumLength)

        running = add.gauge("num_requests_running", "Requests in the engine's batches.")
        waiting = add.gauge("num_requests_waiting", "Requests that wait to be processed.")
        let reasons = add.gauges(
            "num_requests_waiting_by_reason", "Requests that wait, by what they wait for.",
            "reason")
        waitingForCapacity = reasons("capacity")
        deferred = reasons("deferred")
        cacheUsage = ["kv_cache_usage_perc", "gpu_cache_usage_perc"].map { name in
            add.gauge(name, "Share of the KV cache that is in use; 1 is all of it.")
        }
        let states = add.gauges(
            "engine_sleep_state", "Whether the engine sleeps, and how: 1 for its state.",
            "sleep_state")
        for name in ["awake", "weights_offloaded", "discard_all"] {
            // There is no sleep here; dashboards ask for all three.
            states(name).set(name == "awake" ? 1 : 0)
        }
        adapters = registry.gauge(
            "vllm:lora_requests_info", help: "Adapters in use; the value is a time.",
            labels: ["max_lora", "waiting_lora_adapters", "running_lora_adapters"])

        preemptions = add.counter("num_preemptions", "Times that a request had to give way.")
        promptTokens = add.counter("prompt_tokens", "Tokens of prompts that were processed.")
        let bySource = add.counters(
            "prompt_tokens_by_source", "Tokens of prompts by where they came from.", "source")
        promptTokensBySource = EngineFamilies.each(bySource)
        cachedTokens = add.counter("prompt_tokens_cached", "Tokens of prompts found in a cache.")
        let cachedBySource = add.counters(
            "prompt_tokens_cached_by_source", "Tokens of prompts found in a cache, by which.",
            "source")
        cachedTokensBySource = EngineFamilies.each(cachedBySource)
        generationTokens = add.counter("generation_tokens", "Tokens that were generated.")
        let finished = add.counters(
            "request_success", "Requests that ended, by why.", "finished_reason")
        successes = EngineFamilies.each(finished)
        prefixQueries = add.counter(
            "prefix_cache_queries", "Tokens that were looked up in the prefix cache.")
        prefixHits = add.counter(
            "prefix_cache_hits", "Tokens that were found in the prefix cache.")
        rejections = registry.counter(
            "vllm:admission_rejections", help: "Requests turned away, by why.",
            labels: ["model_name", "reason"])
        corrupted = add.counter("corrupted_requests", "Requests whose logits were not numbers.")
        toolCallParsings = add.counter(
            "tool_call_parser_invocations", "Answers that were searched for calls of tools.")
        drafts = add.counter("spec_decode_num_drafts", "Drafts made ahead.")
        draftTokens = add.counter("spec_decode_num_draft_tokens", "Tokens of drafts.")
        acceptedTokens = add.counter(
            "spec_decode_num_accepted_tokens", "Tokens of drafts that were accepted.")
        acceptedByPosition = registry.counter(
            "vllm:spec_decode_num_accepted_tokens_per_pos",
            help: "Tokens of drafts that were accepted, by their place in the draft.",
            labels: ["model_name", "engine", "position"])
        for name in [
            "external_prefix_cache_queries", "external_prefix_cache_hits", "mm_cache_queries",
            "mm_cache_hits",
        ] {
            // There are no such caches here; dashboards divide by these.
            _ = add.counter(name, "Zero: there is no such cache.")
        }

        firstToken = add.histogram(
            "time_to_first_token_seconds", "From a request's arrival to its first token.",
            MetricBuckets.firstToken)
        interToken = ["inter_token_latency_seconds", "time_per_output_token_seconds"].map { name in
            add.histogram(name, "From one token of a request to the next.", MetricBuckets.token)
        }
        timePerToken = add.histogram(
            "request_time_per_output_token_seconds",
            "A request's mean time from one token to the next.", MetricBuckets.token)
        endToEnd = add.histogram(
            "e2e_request_latency_seconds", "From a request's arrival to its end.",
            MetricBuckets.request)
        queueTime = add.histogram(
            "request_queue_time_seconds", "Time that a request waited.", MetricBuckets.request)
        inferenceTime = add.histogram(
            "request_inference_time_seconds", "From a request's first step to its last token.",
            MetricBuckets.request)
        prefillTime = add.histogram(
            "request_prefill_time_seconds", "From a request's first step to its first token.",
            MetricBuckets.request)
        decodeTime = add.histogram(
            "request_decode_time_seconds", "From a request's first token to its last.",
            MetricBuckets.request)
        requestPromptTokens = add.histogram(
            "request_prompt_tokens", "Tokens of a request's prompt.", tokens)
        requestGenerationTokens = add.histogram(
            "request_generation_tokens", "Tokens generated for a request.", tokens)
        longestGeneration = add.histogram(
            "request_max_num_generation_tokens", "Tokens of a request's longest answer.", tokens)
        maximumTokens = add.histogram(
            "request_params_max_tokens", "The most tokens that a request asked for.", tokens)
        computedPromptTokens = add.histogram(
            "request_prefill_kv_computed_tokens",
            "Tokens of a request's prompt that were computed, not found in a cache.", tokens)
        iterationTokens = add.histogram(
            "iteration_tokens_total", "Tokens of a step of the engine.", MetricBuckets.iteration)
        answers = add.histogram(
            "request_params_n", "Answers that a request asked for.", MetricBuckets.answers)
        requestPreemptions = add.histogram(
            "request_num_preemptions", "Times that a request had to give way.",
            MetricBuckets.preemptions)
        pageLifetime = add.histogram(
            "kv_block_lifetime_seconds", "From a page's first use to its eviction.",
            MetricBuckets.page)
        pageIdle = add.histogram(
            "kv_block_idle_before_evict_seconds", "From a page's last use to its eviction.",
            MetricBuckets.page)
        pageReuse = add.histogram(
            "kv_block_reuse_gap_seconds", "From one use of a page to the next.",
            MetricBuckets.page)
    }
}

/// Makes families with the labels that all have.
private struct EngineFamilies {
    let registry: MetricsRegistry
    let model: String
    let engine: String

    var base: [(String, String)] { [("model_name", model), ("engine", engine)] }
    private var names: [String] { base.map(\.0) }
    private var values: [String] { base.map(\.1) }

    func gauge(_ name: String, _ help: String) -> Gauge {
        registry.gauge("vllm:" + name, help: help, labels: names)[values]
    }

    func gauges(_ name: String, _ help: String, _ label: String) -> (String) -> Gauge {
        let family = registry.gauge("vllm:" + name, help: help, labels: names + [label])
        return { family[values + [$0]] }
    }

    func counter(_ name: String, _ help: String) -> Counter {
        registry.counter("vllm:" + name, help: help, labels: names)[values]
    }

    func counters(_ name: String, _ help: String, _ label: String) -> (String) -> Counter {
        let family = registry.counter("vllm:" + name, help: help, labels: names + [label])
        return { family[values + [$0]] }
    }

    func histogram(_ name: String, _ help: String, _ bounds: [Double]) -> Histogram {
        registry.histogram("vllm:" + name, help: help, labels: names, bounds: bounds)[values]
    }

    /// A counter for each value of a label, so that all are published from the start.
    static func each<Key: CaseIterable & RawRepresentable & Hashable>(
        _ counter: (String) -> Counter
    ) -> [Key: Counter] where Key.RawValue == String {
        Dictionary(uniqueKeysWithValues: Key.allCases.map { ($0, counter($0.rawValue)) })
    }
}
