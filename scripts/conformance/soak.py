#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps a server busy and watches its memory: soak.py PROGRAM [MINUTES [CLIENTS]]

Short requests at full rate, a tenth of them cancelled somewhere, adapters that come and go. After it nothing may run
or wait, and the program must not have grown since its first minute.
"""

import http.client
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time

from adapters import write_adapter
from server import NAME, TEMPLATE, Checks, serving

MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 20
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 8
WARM = min(60, MINUTES * 60 / 3)

checks = Checks()
folder = tempfile.mkdtemp(prefix="eft-soak-")
for at in range(4):
    write_adapter(os.path.join(folder, f"a{at}"), at)
WORDS = "pea soup is made of onions and butter a pony eats hay the boat sails to Millbrook".split()
counts = {"answered": 0, "cancelled": 0, "refused": 0, "failed": 0, "loads": 0}
lock = threading.Lock()
over = threading.Event()


def count(what):
    with lock:
        counts[what] += 1


def request(dice):
    """A path and a body."""
    model = dice.choice([NAME, NAME, "a0", "a1", "a2", "a3"])
    words = " ".join(dice.choices(WORDS, k=dice.randint(1, 60)))
    body = {"model": model, "max_tokens": dice.randint(1, 40), "stream": dice.random() < 0.5,
            "temperature": dice.choice([0, 0.7, 1.2]), "seed": dice.randrange(10**6)}
    kind = dice.random()
    if kind < 0.5:
        body["prompt"] = words
        if dice.random() < 0.3:
            body["logprobs"] = dice.randint(0, 5)
        if dice.random() < 0.2:
            body["stop"] = [" of", "\n"]
        if dice.random() < 0.1:
            body.update(n=3, temperature=1)
        if dice.random() < 0.1:
            body["structured_outputs"] = {"regex": f"[a-z]{{1,{dice.randint(2, 5)}}}"}
        return "/v1/completions", body
    if kind < 0.9:
        body["messages"] = [{"role": "user", "content": words}]
        if dice.random() < 0.2:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
                "type": "object", "properties": {f"k{dice.randrange(5)}": {"type": "integer"}},
                "additionalProperties": False}}}
        return "/v1/chat/completions", body
    return "/v1/embeddings", {"model": model, "input": words}


def client(port, seed):
    dice = random.Random(seed)
    link = None
    while not over.is_set():
        path, body = request(dice)
        leaves = dice.random() < 0.1
        try:
            link = link or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            link.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            if leaves and dice.random() < 0.5:
                time.sleep(dice.random() * 0.02)
                raise InterruptedError
            answer = link.getresponse()
            if leaves:
                answer.read(dice.randint(1, 200))
                raise InterruptedError
            text = answer.read()
            if answer.status == 200:
                count("answered")
            elif answer.status in (404, 503):
                count("refused")
            else:
                count("failed")
                print(answer.status, text[:300], flush=True)
        except InterruptedError:
            count("cancelled")
            link.close()
            link = None
        except OSError as error:
            count("failed")
            print(repr(error), flush=True)
            link.close()
            link = None


def librarian(server):
    """Loads and unloads adapters."""
    dice = random.Random(1)
    while not over.is_set():
        name = f"a{dice.randrange(4)}"
        status, answer = server.call("/v1/load_lora_adapter", {
            "lora_name": name, "lora_path": name, "load_inplace": dice.random() < 0.5})
        if status != 200:
            status, answer = server.call("/v1/unload_lora_adapter", {"lora_name": name})
        count("loads")
        if status not in (200, 404):
            print(status, answer[:300], flush=True)
        over.wait(0.2)


# A small cache, and few patterns with few states, so that all memory that is kept on purpose is in use within the first
# minute: constraints remember the states that texts have come to, within a limit that is part of the plan.
with serving(sys.argv[1], "--chat-template", TEMPLATE, "--lora-dir", folder, "--max-loras", "3",
             "--max-lora-rank", "4", "--kv-cache-memory-bytes", "16MiB") as server:
    threads = [threading.Thread(target=client, args=(server.port, seed)) for seed in range(CLIENTS)]
    threads.append(threading.Thread(target=librarian, args=(server,)))
    start, memory = time.time(), []
    for thread in threads:
        thread.start()
    while time.time() - start < MINUTES * 60 and server.is_alive:
        time.sleep(min(5, MINUTES * 60 / 30))
        memory.append((time.time() - start, server.resident()))
        if len(memory) % 4 == 1:
            print(f"{memory[-1][0]:6.0f} s {memory[-1][1] / 2**20:7.1f} MiB {counts}", flush=True)
    over.set()
    for thread in threads:
        thread.join(120)
    checks.that(server.is_alive, "the server is alive")
    checks.that(server.idle(), "gauges return to zero")
    warm = next(size for at, size in memory if at >= WARM)
    end = server.resident()
    print(f"after {WARM:.0f} s {warm / 2**20:.1f} MiB, at the end {end / 2**20:.1f} MiB, most "
          f"{max(size for _, size in memory) / 2**20:.1f} MiB; {counts}")
    checks.that(end <= 1.01 * warm, "memory grows by less than 1 %", f"{100 * (end / warm - 1):.2f} % more")
    checks.equal(counts["failed"], 0, "failed requests")
    checks.that(counts["answered"] > 0 and counts["cancelled"] > 0, "requests", counts)
shutil.rmtree(folder)
sys.exit(checks.close())
