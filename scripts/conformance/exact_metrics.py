#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what a server counts: exact_metrics.py PROGRAM"""

import json
import sys
import threading

from server import Checks, serving

R, T, P = 6, 10, 30
PROMPT = [5 + at for at in range(P)]
checks = Checks()


def key(name, **labels):
    return ("vllm:" + name, tuple(sorted(labels.items())))


def ask(server, count, **options):
    """Identical requests, all at once; the tokens of their answers."""
    answers = []

    def one():
        answers.append(server.call("/v1/completions", {
            "prompt": PROMPT, "temperature": 0, "max_tokens": T, "ignore_eos": True, **options}))
    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for status, _ in answers:
        checks.equal(status, 200, "status")
    return answers


def counts(server, before, requests, samples=1):
    now = server.metrics()

    def grown(name, **labels):
        return now.get(key(name, **labels), 0) - before.get(key(name, **labels), 0)
    answers = requests * samples
    for name, wanted in {
        "prompt_tokens_total": requests * P, "generation_tokens_total": answers * T,
        "time_to_first_token_seconds_count": answers,
        "inter_token_latency_seconds_count": answers * (T - 1),
        "e2e_request_latency_seconds_count": answers,
        "request_queue_time_seconds_count": answers,
        "request_prefill_time_seconds_count": answers,
        "request_decode_time_seconds_count": answers,
        "request_inference_time_seconds_count": answers,
        "request_prompt_tokens_count": answers, "request_prompt_tokens_sum": answers * P,
        "request_generation_tokens_count": answers, "request_generation_tokens_sum": answers * T,
        "request_params_max_tokens_sum": answers * T, "request_params_n_count": requests,
        "request_params_n_sum": answers, "num_preemptions_total": 0,
    }.items():
        checks.equal(grown(name), wanted, f"{name} of {requests} x {samples}")
    checks.equal(grown("request_success_total", finished_reason="length"), answers, "length")
    for reason in ("stop", "abort", "error", "repetition"):
        checks.equal(grown("request_success_total", finished_reason=reason), 0, reason)
    return grown


with serving(sys.argv[1], "--no-enable-prefix-caching") as server:
    def apart():
        before = server.metrics()
        ask(server, R)
        checks.that(server.idle(), "idle")
        grown = counts(server, before, R)
        checks.equal(grown("iteration_tokens_total_sum"), R * P + R * T, "tokens of iterations")
        checks.equal(grown("prefix_cache_hits_total"), 0, "hits")

    def names():
        text = server.call("/metrics")[1].decode()
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc",
                     "gpu_cache_usage_perc", "time_per_output_token_seconds", "lora_requests_info",
                     "cache_config_info", "prompt_tokens_cached_total", "prefix_cache_queries_total",
                     "iteration_tokens_total", "admission_rejections_total"):
            checks.that("vllm:" + name in text, "publishes " + name)
        checks.that("http_requests_total" in text and "process_resident_memory_bytes" in text,
                    "publishes http_ and process_")
        checks.equal(len(server.metrics()) > 100, True, "can be parsed")

    def aborted():
        before = server.metrics()
        for _ in range(5):
            try:
                server.call("/v1/completions", {
                    "prompt": PROMPT, "max_tokens": 450, "ignore_eos": True, "n": 8,
                    "temperature": 1}, timeout=0.05)
            except OSError:
                pass
        checks.that(server.idle(), "gauges return to zero")
        now = server.metrics()
        name = key("request_success_total", finished_reason="abort")
        checks.equal(now[name] - before.get(name, 0), 5 * 8, "aborted answers")

    checks.run(apart, names, aborted)

with serving(sys.argv[1]) as server:
    def shared():
        before = server.metrics()
        answer = json.loads(ask(server, 1)[0][1])
        checks.equal(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0, "none cached")
        counts(server, before, 1)
        before = server.metrics()
        answer = json.loads(ask(server, 1)[0][1])
        # Whole pages of the prompt but its last token.
        cached = (P - 1) // 16 * 16
        checks.equal(answer["usage"]["prompt_tokens_details"]["cached_tokens"], cached, "cached")
        grown = counts(server, before, 1)
        checks.equal(grown("prefix_cache_hits_total"), cached, "hits")
        checks.equal(grown("prefix_cache_queries_total"), P, "queries")
        checks.equal(grown("iteration_tokens_total_sum"), P - cached + T, "tokens of iterations")

    def samples():
        before = server.metrics()
        ask(server, 1, n=4, temperature=1)
        checks.that(server.idle(), "idle")
        counts(server, before, 1, samples=4)

    checks.run(shared, samples)
sys.exit(checks.close())
