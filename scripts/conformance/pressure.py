#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives a server more to do than it has room for: pressure.py PROGRAM"""

import json
import signal
import sys
import threading
import time

from server import Checks, Server, serving

checks = Checks()
PROMPTS = [f"Question: What does a {animal} like?\nAnswer:" for animal in
           "pony hen goat dog cat tortoise hare pig mouse owl fox bear".split()]


def ask(server, prompt, **options):
    return server.call("/v1/completions", {
        "prompt": prompt, "temperature": 0, "max_tokens": 100, "ignore_eos": True, "logprobs": 0,
        **options})


def at_once(*calls):
    """The results of calls made at the same time, in order."""
    results = [None] * len(calls)

    def run(place):
        results[place] = calls[place]()
    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def logprobs(answer):
    return [choice["logprobs"] for choice in json.loads(answer[1])["choices"]]


def preemption():
    with serving(sys.argv[1]) as server:
        alone = [logprobs(ask(server, prompt)) for prompt in PROMPTS]
        drawn = logprobs(ask(server, PROMPTS[0], n=6, temperature=1, seed=1))
    # 32 pages of 16 tokens: not even one whole context for each of twelve requests.
    with serving(sys.argv[1], "--num-gpu-blocks-override", "32", "--max-num-seqs", "12") as server:
        found = at_once(*[lambda prompt=prompt: ask(server, prompt) for prompt in PROMPTS])
        for place, answer in enumerate(found):
            checks.equal(answer[0], 200, "status")
            checks.equal(logprobs(answer), alone[place], f"answer {place} with a small cache")
        checks.equal(logprobs(ask(server, PROMPTS[0], n=6, temperature=1, seed=1)), drawn,
                     "samples with a small cache")
        checks.that(server.metrics()[("vllm:num_preemptions_total", ())] > 0, "some gave way")
        checks.that(server.idle(), "gauges return to zero")


def full_queue():
    with serving(sys.argv[1], "--max-num-seqs", "2", "--max-num-queued-reqs", "2") as server:
        found = at_once(*[lambda: ask(server, PROMPTS[0], max_tokens=300) for _ in range(12)])
        statuses = sorted(answer[0] for answer in found)
        checks.that(set(statuses) == {200, 503}, "some are turned away", statuses)
        refused = next(answer[1] for answer in found if answer[0] == 503)
        checks.that(json.loads(refused)["error"]["message"], "why", refused)
        name = ("vllm:admission_rejections_total", (("reason", "queue_requests"),))
        checks.equal(server.metrics().get(name), statuses.count(503), "rejections are counted")
        checks.equal(ask(server, PROMPTS[0], max_tokens=2)[0], 200, "the next one")


def time_limit():
    with serving(sys.argv[1], "--request-timeout", "0.2") as server:
        start = time.time()
        status, body = ask(server, PROMPTS[0], n=40, temperature=1, max_tokens=450, logprobs=None)
        checks.that(time.time() - start < 10, "ends in time", time.time() - start)
        checks.that(status in (200, 408, 503, 504), "is told", (status, body[:200]))
        checks.that(server.idle(), "gauges return to zero")
        checks.equal(ask(server, PROMPTS[0], max_tokens=2)[0], 200, "the next one")


def priorities():
    with serving(sys.argv[1], "--max-num-seqs", "1", "--scheduling-policy", "priority") as server:
        ended = []

        def one(priority, delay, samples=1):
            time.sleep(delay)
            status, _ = ask(server, PROMPTS[0], priority=priority, max_tokens=200, n=samples,
                            temperature=1)
            ended.append((priority, status))
        at_once(lambda: one(0, 0, 12), lambda: one(9, 0.1), lambda: one(1, 0.2),
                lambda: one(5, 0.3))
        checks.equal([priority for priority, _ in ended], [0, 1, 5, 9], "lower ones first")
        checks.equal({status for _, status in ended}, {200}, "all are served")


def stopping():
    server = Server(sys.argv[1])
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(
        server, PROMPTS[0], max_tokens=400, n=8, temperature=1, logprobs=None)))
    thread.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    thread.join(60)
    checks.equal(answers and answers[0][0], 200, "a request under way finishes")
    checks.equal(server.process.wait(20), 0, "exit status")
    server = Server(sys.argv[1], "--shutdown-grace", "0")

    def lost():
        try:
            ask(server, PROMPTS[0], max_tokens=400, n=60, temperature=1)
        except OSError:
            pass
    threading.Thread(target=lost).start()
    time.sleep(0.3)
    start = time.time()
    checks.equal(server.stop(), 0, "exit status without grace")
    checks.that(time.time() - start < 10, "ends at once", time.time() - start)


checks.run(preemption, full_queue, time_limit, priorities, stopping)
sys.exit(checks.close())
