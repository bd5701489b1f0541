// SPDX-License-Identifier: Apache-2.0
// Figures under vLLM's labels and keys.
import EftBenchmarks
import EftConfig
import Testing

@Suite struct ServingReportTests {
    /// Two requests that overlap, one after them, and one that failed.
    private static let outcomes: [RequestOutcome] = {
        func outcome(
            _ start: Double, _ first: Double, _ gaps: [Double], _ tokens: Int
        ) -> RequestOutcome {
            var outcome = RequestOutcome()
            (outcome.arrival, outcome.start) = (start - 0.25, start)
            outcome.timeToFirstToken = first
            outcome.interTokenLatencies = gaps
            outcome.latency = first + gaps.reduce(0, +)
            outcome.end = start + outcome.latency
            (outcome.promptTokens, outcome.outputTokens) = (10, tokens)
            outcome.text = "x"
            return outcome
        }
        var failed = RequestOutcome()
        failed.promptTokens = 10
        failed.error = "gone"
        return [
            outcome(0, 0.5, [0.25, 0.25], 3), failed, outcome(0.5, 0.1, [0.2, 0.2, 0.4], 5),
            outcome(2, 0.3, [], 1),
        ]
    }()

    private func report(
        _ change: (inout ServingReport.Options) -> Void = { _ in }
    ) -> ServingReport {
        var options = ServingReport.Options()
        change(&options)
        return ServingReport(Self.outcomes, duration: 4, options: options)
    }

    @Test func `the frame is vLLM's to the byte`() {
        let text = report {
            $0.maxConcurrency = 8
            $0.rate = 2.5
            $0.percentiles = [50, 99.9]
            $0.metrics = [.endToEndLatency, .timeToFirstToken]
            $0.goals = ServingGoals([.timeToFirstToken: 300, .endToEndLatency: 800])
        }.text
        let lines = [
            "============ Serving Benchmark Result ============",
            "Successful requests:                     3         ",
            "Failed requests:                         1         ",
            "Maximum request concurrency:             8         ",
            "Request rate configured (RPS):           2.50      ",
            "Benchmark duration (s):                  4.00      ",
            "Total input tokens:                      30        ",
            "Total generated tokens:                  9         ",
            "Request throughput (req/s):              0.75      ",
            "Request goodput (req/s):                 0.25      ",
            "Output token throughput (tok/s):         2.25      ",
            "Peak output token throughput (tok/s):    4.00      ",
            "Peak concurrent requests:                2.00      ",
            "Total token throughput (tok/s):          9.75      ",
            "---------------Time to First Token----------------",
            "Mean TTFT (ms):                          300.00    ",
            "Median TTFT (ms):                        300.00    ",
            "P50 TTFT (ms):                           300.00    ",
            "P99.9 TTFT (ms):                         499.60    ",
            "----------------End-to-end Latency----------------",
            "Mean E2EL (ms):                          733.33    ",
            "Median E2EL (ms):                        900.00    ",
            "P50 E2EL (ms):                           900.00    ",
            "P99.9 E2EL (ms):                         999.80    ",
            "==================================================",
        ]
        #expect(text.split(separator: "\n").map(String.init) == lines)
    }

    @Test func `without bounds there are fewer lines, and other sections by default`() {
        let text = report().text
        #expect(!text.contains("Maximum request") && !text.contains("goodput"))
        for title in [
            "\n---------------Time to First Token----------------\n",
            "\n-----Time per Output Token (excl. 1st token)------\n",
            "\n---------------Inter-token Latency----------------\n",
        ] {
            #expect(text.contains(title), "\(title)")
        }
    }

    @Test func `keys are vLLM's`() throws {
        let settings = ServingSettings(
            date: "20260131-235959", backend: "openai", model: "m", prompts: 4, burstiness: 1)
        guard case .object(let object) = report().node(settings, isDetailed: true).value else {
            Issue.record("no mapping")
            return
        }
        #expect(
            object.keys == [
                "date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id",
                "num_prompts", "request_rate", "burstiness", "max_concurrency", "duration",
                "completed", "failed", "total_input_tokens", "total_output_tokens",
                "request_throughput", "request_goodput", "output_throughput",
                "total_token_throughput", "max_output_tokens_per_s", "max_concurrent_requests",
                "mean_ttft_ms", "median_ttft_ms", "std_ttft_ms", "p99_ttft_ms", "mean_tpot_ms",
                "median_tpot_ms", "std_tpot_ms", "p99_tpot_ms", "mean_itl_ms", "median_itl_ms",
                "std_itl_ms", "p99_itl_ms", "input_lens", "output_lens", "ttfts", "itls",
                "generated_texts", "errors", "start_times", "latencies", "queue_times",
            ])
        #expect(object["request_rate"] == "inf" && object["request_goodput"] == .null)
        #expect(object["completed"] == 3 && object["failed"] == 1)
        #expect(object["output_lens"] == [3, 0, 5, 1])
        #expect(object["errors"] == ["", "gone", "", ""])
        #expect(object["queue_times"] == [0.25, 0.0, 0.25, 0.25])
        // (0.5 s / 2 and 0.8 s / 4; an answer of one token has none.)
        guard case .real(let mean)? = object["mean_tpot_ms"]?.value else {
            Issue.record("no mean")
            return
        }
        #expect(abs(mean - 225) < 1e-9)
    }

    @Test func `goals are read, and others refused`() {
        let goal = ServingGoals.parse("tpot:12.5")
        #expect(goal?.0 == .timePerOutputToken && goal?.1 == 12.5)
        for text in ["", "ttft", "itl:5", "ttft:x", "ttft:-1", "ttft:nan", "ttft:1:2", "x:1"] {
            #expect(ServingGoals.parse(text) == nil, "\(text)")
        }
    }
}
