#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has guidellm measure a server for some seconds, one request after the other and several at once:
guidellm_load.py PROGRAM [SECONDS]"""

import json
import os
import subprocess
import sys
import tempfile

from server import DEMO, NAME, TEMPLATE, Checks, serving

SECONDS = sys.argv[2] if len(sys.argv) > 2 else "10"
checks = Checks()

with serving(sys.argv[1], "--chat-template", TEMPLATE) as server, tempfile.TemporaryDirectory() as folder:
    def measured(profile, *options):
        report = os.path.join(folder, profile + ".json")
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "guidellm"), "run",
             "--backend", f"kind=openai_http,target={server.url},model={NAME}",
             "--tokenizer", f"kind=hf_auto,model={DEMO}",
             "--profile", ",".join([f"kind={profile}", *options]),
             "--constraint", f"kind=max_duration,seconds={SECONDS}",
             "--data", "kind=synthetic_text,prompt_tokens=64,output_tokens=16",
             "--output", f"kind=json,path={report}", "--disable-console-interactive"],
            env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        if not checks.equal(done.returncode, 0, f"{profile}: exit status"):
            print(done.stdout[-3000:])
            return
        with open(report, encoding="utf-8") as file:
            benchmark = json.load(file)["benchmarks"][0]
        totals = benchmark["metrics"]["request_totals"]
        checks.that(totals["successful"] > 0, f"{profile}: requests", totals)
        checks.equal(totals["errored"], 0, f"{profile}: errors")
        rate = benchmark["metrics"]["output_tokens_per_second"]["successful"]["mean"]
        print(f"{profile}: {totals['successful']} requests, {rate:.0f} output tokens a second")

    def synchronous():
        measured("synchronous")

    def concurrent():
        measured("concurrent", "streams=4")

    checks.run(synchronous, concurrent)
    checks.that(server.idle(), "gauges return to zero")
sys.exit(checks.close())
