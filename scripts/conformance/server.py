# SPDX-License-Identifier: Apache-2.0
"""A server under test: the program given, started on a free port, and what its numbers say."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEMO = os.path.join(ROOT, "Examples", "demo", "model")
TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat.jinja")
NAME = "demo"


class Server:
    """`eft serve` on a model, until `stop`."""

    def __init__(self, program, *options, model=DEMO, name=NAME, cwd=ROOT):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="eft-serve-", suffix=".log")
        arguments = [program, "serve", "--model", model, "--served-model-name", name,
                     "--port", "0", *options]
        self.process = subprocess.Popen(
            arguments, stdout=self.log, stderr=subprocess.STDOUT, cwd=cwd)
        self.port = self._port()
        self.url = f"http://127.0.0.1:{self.port}"

    def _port(self):
        end = time.time() + 120
        while time.time() < end:
            found = re.search(r"serving .* on https?://[^ ]*:(\d+)", self.said())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the server did not start:\n" + self.said())

    def said(self):
        """What the program has written."""
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def is_alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        """Ends the program; its exit status."""
        if self.is_alive:
            self.process.send_signal(how)
        status = self.process.wait(60)
        self.log.close()
        return status

    # Requests without a client library.

    def call(self, path, body=None, method=None, headers=None, timeout=60):
        """A request and its answer: status and bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={**fields, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def metrics(self):
        """All numbers: {(name, labels but the model's): value}."""
        numbers = {}
        for family in text_string_to_metric_families(self.call("/metrics")[1].decode()):
            for sample in family.samples:
                labels = tuple(sorted((key, value) for key, value in sample.labels.items()
                                      if key not in ("model_name", "engine")))
                numbers[(sample.name, labels)] = sample.value
        return numbers

    def idle(self, seconds=20):
        """Waits until nothing runs, waits or holds the cache; whether that came to be."""
        end = time.time() + seconds
        while True:
            numbers = self.metrics()
            gauges = [numbers[("vllm:" + name, ())] for name in
                      ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")]
            if not any(gauges):
                return True
            if time.time() > end:
                return False
            time.sleep(0.05)

    def resident(self):
        """Bytes of memory that the program has."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def planned(self, headers=None):
        """Bytes of memory that the program said it would take at most."""
        memory = json.loads(self.call("/status", headers=headers)[1])["memory"]
        return sum(part["bytes"] for part in memory["planned"])


@contextlib.contextmanager
def serving(program, *options, **named):
    """A server for the length of a block."""
    server = Server(program, *options, **named)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL if sys.exc_info()[0] else signal.SIGTERM)


class Checks:
    """Counts what holds and what does not."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self._lock = threading.Lock()

    def that(self, holds, what, found=""):
        with self._lock:
            if holds:
                self.passed += 1
            else:
                self.failed.append(what)
                print(f"FAILED {what}: {str(found)[:600]}", flush=True)
        return holds

    def equal(self, found, wanted, what):
        return self.that(found == wanted, what, f"found {found!r}, wanted {wanted!r}")

    def raises(self, kind, action, what):
        """Checks that an action raises an error; the error."""
        try:
            result = action()
        except kind as error:
            self.passed += 1
            return error
        except Exception as error:  # pylint: disable=broad-except
            self.that(False, what, f"raised {type(error).__name__}: {error}")
            return None
        self.that(False, what, f"raised nothing: {result}")
        return None

    def run(self, *groups):
        """Runs functions, each of which may fail as a whole."""
        for group in groups:
            before = len(self.failed)
            start = time.time()
            try:
                group()
            except Exception as error:  # pylint: disable=broad-except
                import traceback
                self.that(False, group.__name__, "".join(traceback.format_exception(error)[-3:]))
            state = "ok" if len(self.failed) == before else "FAILED"
            print(f"{state:6} {group.__name__} ({time.time() - start:.1f} s)", flush=True)

    def close(self):
        """Prints the closing line and gives the exit status."""
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return 1 if self.failed else 0
