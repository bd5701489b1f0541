#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends a server what would harm a careless one: abuse.py PROGRAM [GROUP...]

Each request must get a refusal of the 4xx kind (or, where it is harmless, an answer) in bounded time, and the next
ordinary request must work.
"""

import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

from adapters import write_adapter
from server import NAME, TEMPLATE, Checks, Server

KEY = "token-abc123"
AUTHORIZED = {"Authorization": "Bearer " + KEY}
SECONDS = 10
PROMPT = "Question: What is pea soup made of?\nAnswer:"

checks = Checks()
folder = tempfile.mkdtemp(prefix="eft-abuse-")
adapters = os.path.join(folder, "adapters")
write_adapter(os.path.join(adapters, "good"), 1)
write_adapter(os.path.join(folder, "outside"), 2)
os.symlink(os.path.join(folder, "outside"), os.path.join(adapters, "link"))
os.symlink(adapters, os.path.join(adapters, "loop"))
server = None


def start(*options):
    global server
    server = Server(
        sys.argv[1], "--api-key", KEY, "--chat-template", TEMPLATE, "--tool-call-parser", "hermes",
        "--lora-dir", adapters, "--open-metrics", *options)


def post(path, body, headers=AUTHORIZED, timeout=20):
    begun = time.time()
    status, answer = server.call(path, body, headers=headers, timeout=timeout)
    return status, answer, time.time() - begun


def works(what):
    status, answer, _ = post("/v1/completions", {"prompt": PROMPT, "max_tokens": 2})
    checks.that(status == 200 and json.loads(answer)["usage"]["completion_tokens"] == 2,
                f"works after {what}", (status, answer))


def refused(path, body, what, allowed=(400, 404, 413, 422)):
    """A request that must be refused."""
    status, answer, seconds = post(path, body)
    if checks.that(status in allowed, what, (status, answer[:300])) and status >= 400:
        error = json.loads(answer)["error"]
        checks.that(error["message"] and error["code"] == status, f"{what}: shape", error)
        checks.that("/" + folder.strip("/") not in error["message"], f"{what}: tells a path", error)
    checks.that(len(answer) < 4096, f"{what}: the answer has {len(answer)} bytes")
    checks.that(seconds < SECONDS, f"{what}: took {seconds:.1f} s")


def endured(path, body, what):
    """A request that may be answered or refused, but neither fails nor takes long."""
    try:
        status, answer, seconds = post(path, body)
    except TimeoutError:
        checks.that(False, f"{what}: no answer")
        return 0
    checks.that(status < 500, what, (status, answer[:300]))
    checks.that(seconds < SECONDS, f"{what}: took {seconds:.1f} s")
    return status


def completion(**fields):
    return {"prompt": PROMPT, "max_tokens": 4, **fields}


def raw(text):
    """A completion with a field written by hand."""
    return (f'{{"prompt": {json.dumps(PROMPT)}, "max_tokens": 4, {text}}}').encode()


def nested(depth, opening='{"a":', closing="}", core="1"):
    return opening * depth + core + closing * depth


# Parameters


def numbers():
    names = ["temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty",
             "repetition_penalty", "typical_p", "dry_multiplier", "xtc_probability"]
    for name in names:
        for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"1"', "[]", "{}", "true"):
            refused("/v1/completions", raw(f'"{name}": {text}'), f"{name} {text}")
    for name, value in [
        ("temperature", -1), ("temperature", 2.1), ("top_p", 0), ("top_p", 1.5), ("top_p", -1),
        ("min_p", -0.1), ("min_p", 2), ("presence_penalty", 9), ("frequency_penalty", -9),
        ("repetition_penalty", 0), ("repetition_penalty", -1), ("repetition_penalty", 1e300),
        ("top_k", -2), ("n", 0), ("n", -1), ("n", 129), ("n", 2**62), ("n", 1.5),
        ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 1.5), ("logprobs", 21),
        ("logprobs", -2), ("logprobs", 2**40), ("prompt_logprobs", 2**40), ("seed", 0.5),
        ("min_tokens", -1), ("min_tokens", 5), ("min_tokens", 2**62), ("priority", 3),
    ]:
        refused("/v1/completions", completion(**{name: value}), f"{name} {value}")
    for text in ('"seed": 99999999999999999999999', '"max_tokens": 1e400', '"n": 1e999',
                 '"top_k": 1e30', '"logprobs": 1e18'):
        refused("/v1/completions", raw(text), text)
    for name, value in [("max_tokens", 2**62), ("top_k", 2**62), ("seed", 2**63 - 1),
                        ("seed", -2**63), ("temperature", 1e-40), ("top_p", 1e-40),
                        ("repetition_penalty", 1e-30), ("dry_penalty_last_n", 2**62)]:
        endured("/v1/completions", completion(**{"dry_multiplier": 1, name: value}),
                f"{name} {value}")
    for name, value in [("dry_base", 1e30), ("dry_allowed_length", -5), ("dry_allowed_length", 2**62),
                        ("dry_base", 0), ("dry_multiplier", -1), ("xtc_threshold", 2)]:
        endured("/v1/completions", completion(
            **{"dry_multiplier": 1, "xtc_probability": 0.5, name: value}), f"{name} {value}")


def ids():
    for what, prompt in [("negative", [-1]), ("beyond", [2048]), ("huge", [2**31]),
                         ("huger", [2**63]), ("fraction", [1.5]), ("mixed", [1, "a"]),
                         ("texts and ids", ["a", [1]]), ("nested", [[[1]]]), ("null", [None]),
                         ("objects", [{}]), ("none", []), ("empty list", [[]]), ("object", {}),
                         ("number", 5), ("too long", [5] * 513), ("very long", "word " * 200000)]:
        if what != "texts and ids":
            refused("/v1/completions", {"prompt": prompt}, f"prompt {what}")
            refused("/v1/completions", {"prompt": prompt, "echo": True, "logprobs": 1},
                    f"echoed prompt {what}")
            refused("/v1/embeddings", {"input": prompt}, f"input {what}")
    refused("/v1/completions", {}, "no prompt")
    refused("/v1/completions", {"prompt": None}, "prompt null")
    endured("/v1/completions", {"prompt": "", "max_tokens": 2}, "an empty prompt")
    refused("/v1/completions", {"prompt": "", "add_special_tokens": False}, "no tokens")
    refused("/v1/completions", {"prompt": ["x"] * 1025}, "too many prompts")
    refused("/v1/completions", {"prompt": [[1]] * 1025}, "too many lists")
    refused("/v1/embeddings", {"input": ["x"] * 1025}, "too many inputs")
    for name in ("allowed_token_ids", "stop_token_ids"):
        for value in ([-1], [2**31], ["a"], [1.5], 3):
            refused("/v1/completions", completion(**{name: value}), f"{name} {value}")
    for value in ([2048], [], [10**9]):
        refused("/v1/completions", completion(allowed_token_ids=value),
                f"allowed_token_ids {str(value)[:20]}")
    for value in (list(range(2000)), [1] * 100_000):
        endured("/v1/completions", completion(allowed_token_ids=value), "many allowed ids")
    endured("/v1/completions", completion(stop_token_ids=[2048, 10**9]), "stop_token_ids beyond")
    for bias in ({"-1": 1}, {"2048": 1}, {"99999999999": 1}, {"a": 1}, {"1": "x"}, {"1": None},
                 {"": 1}, {str(i): 1 for i in range(1025)}, [1]):
        refused("/v1/completions", completion(logit_bias=bias), f"logit_bias {str(bias)[:30]}")
    for bias in ('{"1": NaN}', '{"1": Infinity}', '{"1": 1e999}'):
        refused("/v1/completions", raw(f'"logit_bias": {bias}'), f"logit_bias {bias}")
    endured("/v1/completions", completion(logit_bias={"1": 1e300, "2": -1e300}), "large biases")
    endured("/v1/completions", completion(logit_bias={str(i): -100 for i in range(1024)}), "biases")
    for words in ([""], [1], ["x"] * 129, ["word " * 2000], {}, [None]):
        refused("/v1/completions", completion(bad_words=words), f"bad_words {str(words)[:20]}")
    for value in ({"tokens": [-1]}, {"tokens": [2048]}, {"tokens": [2**40]}, {"tokens": "x"}, {},
                  {"tokens": [[1]]}):
        refused("/detokenize", value, f"detokenize {value}")
    for value in ({}, {"prompt": 5}, {"prompt": ["a"]}, {"messages": []}, {"messages": [1]}):
        refused("/tokenize", value, f"tokenize {value}")


def texts():
    for stop in ([""], [1], ["x" * 257], ["x"] * 1000, {}, [None], [["a"]]):
        refused("/v1/completions", completion(stop=stop), f"stop {str(stop)[:20]}")
    for salt in ("", "x" * 129, "a\x00b", "a\nb", 5, [], "\x1b[0m"):
        refused("/v1/completions", completion(cache_salt=salt), f"cache_salt {salt!r}"[:40])
    for salt in ("a@b", "a/b", "a\\b", "ü" * 100, "' OR 1=1", "../../etc"):
        endured("/v1/completions", completion(cache_salt=salt), f"cache_salt {salt!r}"[:40])
    for text in ("<|begin_of_text|>" * 20, "<|image|><|audio|>", "\x00\x01\x02", "\ufffd\ud7ff",
                 "𝕏" * 50, "e" + "\u0301" * 300, "\u202e" * 50):
        endured("/v1/completions", {"prompt": text, "max_tokens": 2, "echo": True, "logprobs": 1},
                f"prompt {text[:12]!r}")
    refused("/v1/completions", b'{"prompt": "\\ud800", "max_tokens": 2}', "a lone surrogate")
    refused("/v1/completions", b'{"prompt": "\xff\xfe", "max_tokens": 2}', "no UTF-8")
    for name in ("\x00", "a" * 10**6, "../../etc/passwd", "<script>", "demo\n"):
        refused("/v1/completions", completion(model=name), f"model {name[:16]!r}")
    for model in (5, [], {}):
        refused("/v1/completions", completion(model=model), f"model {model}")
    refused("/v1/completions", completion(user="x" * 100, stream="yes"), "stream yes")
    refused("/v1/completions", completion(prompt_embeds="gASVAAAA"), "prompt_embeds")


def bodies():
    depth = 100_000
    for what, body in {
        "deep lists": b"[" * depth, "deep closed": nested(depth, "[", "]").encode(),
        "deep objects": nested(depth).encode(),
        "deep prompt": b'{"prompt": ' + nested(5000, "[", "]").encode() + b"}",
        "a string": b'"x"', "a number": b"5", "null": b"null", "nothing": b"", "half": b'{"prompt":',
        "twice": b'{"prompt": "a", "prompt": "b"}', "trailing": b'{"prompt": "a"} x',
        "huge key": b'{"' + b"k" * 5_000_000 + b'": 1}',
        "huge number": b'{"n": ' + b"9" * 1_000_000 + b"}",
        "huge exponent": b'{"temperature": 1e' + b"9" * 1_000_000 + b"}",
        "many keys": json.dumps({f"k{i}": i for i in range(200_000)}).encode(),
        "many values": b'{"prompt": [' + b"1," * 3_000_000 + b"1]}",
        "comments": b'{"prompt": "a" /* x */}', "BOM": b'\xef\xbb\xbf{"prompt": 5}',
    }.items():
        refused("/v1/completions", body, f"body {what}")
    status, answer, _ = post("/v1/completions", b'{"prompt": "' + b"a" * (17 << 20) + b'"}')
    checks.equal(status, 413, "a body that is too large")
    # A small request must not get a large answer.
    for body in (completion(logit_bias={"x" * 3000: 1}), completion(model="m" * 4000),
                 completion(stop=["s" * 4000]), completion(response_format={"type": "t" * 4000}),
                 {"messages": [{"role": "r" * 4000}]}, completion(tools="t" * 4000)):
        refused("/v1/chat/completions" if "messages" in body else "/v1/completions", body,
                f"amplification {str(body)[:40]}", allowed=(400, 404, 200)
                if "tools" in body else (400, 404))
    status, answer = server.call("/v1/completions", b"{}", headers={
        **AUTHORIZED, "Content-Type": "text/plain"})
    checks.that(400 <= status < 500, "another content type", (status, answer))


def fan_out():
    """Few bytes that ask for much work."""
    refused("/v1/completions", {"prompt": ["x"] * 1024, "n": 128, "temperature": 1,
                                "max_tokens": 1}, "1024 prompts with 128 answers")
    endured("/v1/completions", {"prompt": ["x"] * 1024, "max_tokens": 1}, "1024 prompts")
    endured("/v1/completions", {"prompt": ["x"] * 16, "n": 128, "temperature": 1,
                                "max_tokens": 1}, "2048 answers")
    # Words that are hard to cut into tokens.
    refused("/tokenize", {"prompt": "a" * (15 << 20)}, "a word of 15 MiB")
    endured("/tokenize", {"prompt": "a" * (1 << 20)}, "a word of 1 MiB")
    endured("/v1/completions", {"prompt": "x", "n": 128, "temperature": 1, "max_tokens": 400,
                                "logprobs": 20}, "128 answers")
    endured("/v1/completions", {"prompt": "x", "n": 32, "max_tokens": 64, "temperature": 0,
                                "use_beam_search": True, "length_penalty": 1e300}, "wide beams")
    for penalty in ("NaN", "1e999"):
        refused("/v1/completions", raw(f'"use_beam_search": true, "length_penalty": {penalty}'),
                f"length_penalty {penalty}")
    # The cache is full by now, which the plan counts.
    checks.that(server.resident() <= server.planned(AUTHORIZED), "memory after wide requests",
                f"{server.resident() >> 20} MiB")


# Patterns


def patterns():
    for pattern in ("(a+)+$", "(a|a)*b", "(x+x+)+y", "((a*)*)*", "a{1,1000}", "(a{1,100}){1,100}",
                    "((((a{1,30}){1,30}){1,30}){1,30}){1,30}", "a{1000000000}", "(", "[", "a{2,1}",
                    "[z-a]", "(?<=a)b", "(a)\\1", "(?R)", "\\p{Foo}", "*", "\x00", "(" * 100_000,
                    "a" * 200_000, "|" * 50_000, "[^\\x00-\\U0010ffff]", ".*" * 2000,
                    "(.*a){20}", "(a|b)*a(a|b){20}", "^" * 1000, "\\u{110000}", "\\"):
        endured("/v1/completions", completion(structured_outputs={"regex": pattern}),
                f"regex {pattern[:30]!r}")
    for pattern in ("(", "[", "a{2,1}", "[z-a]", "(a)\\1", "a{1000000000}", "*"):
        refused("/v1/completions", completion(structured_outputs={"regex": pattern}),
                f"wrong regex {pattern!r}")


def schemas():
    deep = {"type": "string"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    many = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20000)}}
    wide = {"anyOf": [{"type": "object", "properties": {f"k{i}": {"anyOf": [
        {"type": "object", "properties": {f"j{j}": {"type": "number"} for j in range(20)}}
        for _ in range(20)]}}} for i in range(50)]}
    bomb = {"$defs": {f"d{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{i + 1}"}] * 10}
                      for i in range(12)} | {"d12": {"type": "null"}}, "$ref": "#/$defs/d0"}
    for what, schema in {
        "many": many, "wide": wide, "bomb": bomb, "loop": {"$ref": "#"},
        "mutual": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                   "$ref": "#/$defs/a"},
        "remote": {"$ref": "http://169.254.169.254/latest"}, "file": {"$ref": "file:///etc/passwd"},
        "nowhere": {"$ref": "#/$defs/none"}, "escape": {"$ref": "#/~2/%zz"},
        "type": {"type": "nothing"}, "type number": {"type": 5}, "enum empty": {"enum": []},
        "enum huge": {"enum": ["x" * 100 + str(i) for i in range(20000)]},
        "pattern": {"type": "string", "pattern": "(a+)+("}, "bounds": {"minItems": 2**62,
                                                                       "type": "array"},
        "lengths": {"type": "string", "minLength": 10**9, "maxLength": 10**9 + 1},
        "backwards": {"type": "string", "minLength": 5, "maxLength": 1},
        "negative": {"type": "array", "minItems": -1}, "integer": {
            "type": "integer", "minimum": -10**18, "maximum": 10**18},
        "number": {"type": "number", "multipleOf": 1e-300},
        "never": {"not": {}}, "false": False, "string": "x", "list": [], "all": {
            "allOf": [{"type": "string"}, {"type": "number"}]}}.items():
        endured("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}], "max_tokens": 4, "response_format": {
                "type": "json_schema", "json_schema": {"name": "n", "schema": schema}}},
            f"schema {what}")
        endured("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}], "max_tokens": 4,
            "tool_choice": "required", "tools": [{"type": "function", "function": {
                "name": "f", "parameters": schema}}]}, f"tool {what}")
    # Too deep for Python's own writer.
    body = ('{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",'
            '"json_schema":{"schema":' + nested(5000, '{"type":"array","items":', "}", "{}") + "}}}")
    refused("/v1/chat/completions", body.encode(), "a deep schema")
    text = nested(5000, '{"items":', "}", "{}")
    refused("/v1/completions", completion(structured_outputs={"json": text}), "a deep schema's text")
    for value in ({}, {"regex": "a", "choice": ["b"]}, {"choice": []}, {"choice": [1]}, 5,
                  {"structural_tag": "x"}, {"json": "{"}, {"regex": 5}, {"grammar": ""}):
        refused("/v1/completions", completion(structured_outputs=value), f"structured {value}")
    refused("/v1/completions", completion(response_format={"type": "json_schema"}), "no schema")
    refused("/v1/completions", completion(response_format={}), "no type")
    refused("/v1/completions", completion(response_format={"type": "json_object"},
                                          structured_outputs={"regex": "a"}), "two forms")
    endured("/v1/completions", completion(structured_outputs={
        "choice": ["x" * 1000 + str(i) for i in range(5000)]}), "many choices")


def grammars():
    for grammar in ("root ::= root", "root ::= root root", 'root ::= "a" root | root "b"',
                    "root ::= x", "root ::= ", "root ::= (", 'root ::= "', "x ::= y\ny ::= x",
                    'root ::= ("a"*)*', 'root ::= ' + "(" * 50_000, 'root ::= "a"{1000000}',
                    "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(60)) + '\nr60 ::= "a"',
                    "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(60))
                    + '\nr60 ::= "a"', 'root ::= ' + '"a" | ' * 50_000 + '"b"', "\x00",
                    'root ::= "a" root "a" | "a"', 'root ::= ("a" | "")* "b"',
                    "root ::= root root root | \"a\" | \"\"", 'start: start', 'start: "a" start'):
        endured("/v1/completions", completion(max_tokens=40, structured_outputs={
            "grammar": grammar}), f"grammar {grammar[:30]!r}")


def templates():
    def chat(**fields):
        return {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2, **fields}
    for source in ("{{ ''.__class__.__mro__ }}", "{% for i in range(10**9) %}x{% endfor %}", "{{", ""):
        refused("/v1/chat/completions", chat(chat_template=source), f"template {source[:20]!r}")
    refused("/tokenize", {"messages": [{"role": "user", "content": "x"}],
                          "chat_template": "{{ 1 }}"}, "tokenize's template")
    for name in ("chat_template", "messages", "tools", "add_generation_prompt", "bos_token",
                 "eos_token", "tokenize", "continue_final_message", "documents", "raise_exception",
                 "strftime_now", "namespace", "range", "loop", "self"):
        for value in ("{{ 7 * 191 }}", [1], 1, None):
            body = chat(chat_template_kwargs={name: value})
            endured("/v1/chat/completions", body, f"kwargs {name} {value}")
    status, answer, _ = post("/tokenize", {
        "messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {
            "messages": [{"role": "user", "content": "PWNED"}], "chat_template": "{{ 'PWNED' }}"}})
    if status == 200:
        plain = post("/tokenize", {"messages": [{"role": "user", "content": "x"}]})[1]
        checks.equal(json.loads(answer)["tokens"], json.loads(plain)["tokens"],
                     "kwargs do not replace what is reserved")
    for messages in ([], [5], [{}], [{"role": "user"}], [{"role": 5, "content": "x"}],
                     [{"role": "user", "content": 5}], [{"role": "user", "content": {"a": 1}}],
                     [{"role": "user", "content": [{"type": "image_url", "image_url": {
                         "url": "http://169.254.169.254/"}}]}],
                     [{"role": "user", "content": [{"type": "text"}]}], "x", {},
                     [{"role": "user", "content": [1]}]):
        refused("/v1/chat/completions", chat(messages=messages), f"messages {str(messages)[:40]}")
    for messages in ([{"role": "x" * 200, "content": "x"}], [{"role": "nobody", "content": "{{ 1 }}"}],
                     [{"role": "assistant", "content": None}],
                     [{"role": "assistant", "tool_calls": [{"function": 5}]}],
                     [{"role": "assistant", "tool_calls": [{"function": {
                         "name": "f", "arguments": "{"}}]}],
                     [{"role": "tool", "content": "x", "tool_call_id": "nobody"}],
                     [{"role": "user", "content": "x"}] * 5000):
        endured("/v1/chat/completions", chat(messages=messages), f"messages {str(messages)[:40]}")
    for tools in ([], [5], [{}], [{"type": "function"}], [{"type": "x", "function": {"name": "f"}}],
                  [{"type": "function", "function": {"name": ""}}],
                  [{"type": "function", "function": {"name": 5}}],
                  [{"type": "function", "function": {"name": "f"}}] * 129):
        refused("/v1/chat/completions", chat(tools=tools), f"tools {str(tools)[:40]}")
    for name in ("a\"b", "a b", "</tool_call>", "\x00", "ü", "x" * 256):
        endured("/v1/chat/completions", chat(tool_choice="required", tools=[
            {"type": "function", "function": {"name": name}}]), f"tool's name {name[:10]!r}")
    for choice in (5, {}, {"type": "function"}, {"function": {"name": 5}}, "x", []):
        refused("/v1/chat/completions", chat(tool_choice=choice, tools=[
            {"type": "function", "function": {"name": "f"}}]), f"tool_choice {choice}")


# Adapters


def confinement():
    def load(path, name="bad"):
        return post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
    for path in ("../outside", "link", os.path.join(folder, "outside"), "/etc", "/", ".", "..",
                 "good/../../outside", "loop/../outside", "/proc/self/cwd", "", "\x00",
                 "good\x00/../../outside", "x" * 100_000, "~", "good/adapter_config.json",
                 "//etc//passwd", "/dev/zero", "loop/link"):
        status, answer, _ = load(path)
        checks.that(400 <= status < 500, f"load {path[:30]!r}", (status, answer))
        checks.that(folder.encode() not in answer, f"load {path[:30]!r} tells a path", answer)
    told = {load(path)[1] for path in ("../outside", "../nothing", "/etc", "/nothing", "link")}
    checks.equal(len(told), 1, "what lies outside is told apart from nothing")
    for name in ("", "x" * 257, "a\nb", NAME, 5, None):
        refused("/v1/load_lora_adapter", {"lora_name": name, "lora_path": "good"}, f"name {name!r:.20}")
    refused("/v1/unload_lora_adapter", {"lora_name": NAME}, "unload the base")
    refused("/v1/unload_lora_adapter", {}, "unload nothing")
    for what, change in {
        "config of lies": {"r": 10**9}, "rank 0": {"r": 0}, "rank -1": {"r": -1},
        "alpha": {"lora_alpha": "x"}, "targets": {"target_modules": 5},
        "type": {"peft_type": "PROMPT"}}.items():
        bad = write_adapter(os.path.join(adapters, "bad"), 1)
        with open(os.path.join(bad, "adapter_config.json"), "r+", encoding="ascii") as file:
            config = {**json.load(file), **change}
            file.seek(0)
            file.truncate()
            json.dump(config, file)
        status, answer, seconds = load("bad")
        checks.that(400 <= status < 500 and seconds < SECONDS, f"adapter: {what}", (status, answer))
        checks.that(folder.encode() not in answer, f"adapter: {what} tells a path", answer)
    for what, data in {"empty": b"", "short": b"\x08\0\0\0", "long header": b"\xff" * 16,
                       "no JSON": (8).to_bytes(8, "little") + b"xxxxxxxx"}.items():
        bad = write_adapter(os.path.join(adapters, "bad"), 1)
        with open(os.path.join(bad, "adapter_model.safetensors"), "wb") as file:
            file.write(data)
        status, answer, _ = load("bad")
        checks.that(400 <= status < 500, f"weights: {what}", (status, answer))
    shutil.rmtree(os.path.join(adapters, "bad"))
    big = write_adapter(os.path.join(adapters, "bad"), 1, rank=64)
    checks.that(400 <= load("bad")[0] < 500, "a rank beyond --max-lora-rank")
    shutil.rmtree(big)
    names = [f"good{i}" for i in range(9)]
    statuses = [load("good", name)[0] for name in names]
    checks.that(200 in statuses and statuses[-1] == 400, "more adapters than --max-loras", statuses)
    for name, status in zip(names, statuses):
        if status == 200:
            checks.equal(post("/v1/unload_lora_adapter", {"lora_name": name})[0], 200, "unload")


def removed_folder():
    write_adapter(os.path.join(adapters, "gone"), 4)
    body = {"lora_name": "gone", "lora_path": "gone"}
    checks.equal(post("/v1/load_lora_adapter", body)[0], 200, "load")
    asked = completion(model="gone", temperature=0, logprobs=0)
    before = json.loads(post("/v1/completions", asked)[1])["choices"][0]["logprobs"]
    shutil.rmtree(os.path.join(adapters, "gone"))
    after = json.loads(post("/v1/completions", asked)[1])["choices"][0]["logprobs"]
    checks.equal(after, before, "an adapter whose folder is gone still serves")
    status, answer, _ = post("/v1/load_lora_adapter", {**body, "load_inplace": True})
    checks.that(400 <= status < 500, "load in place from nowhere", (status, answer))
    checks.equal(json.loads(post("/v1/completions", asked)[1])["choices"][0]["logprobs"], before,
                 "and does after a failed load in place")
    checks.equal(post("/v1/unload_lora_adapter", {"lora_name": "gone"})[0], 200, "unload")


def unload_in_use():
    body = {"lora_name": "busy", "lora_path": "good"}
    checks.equal(post("/v1/load_lora_adapter", body)[0], 200, "load")
    answers = []

    def ask():
        answers.append(post("/v1/completions", completion(
            model="busy", max_tokens=400, ignore_eos=True)))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    status, answer, _ = post("/v1/unload_lora_adapter", {"lora_name": "busy"})
    checks.equal(status, 200, "unload while in use")
    for thread in threads:
        thread.join(60)
    for status, answer, _ in answers:
        whole = status == 200 and json.loads(answer)["usage"]["completion_tokens"] == 400
        checks.that(whole or status == 404, "requests finish on it", (status, answer[:200]))


# Sockets


def speak(data, wait=5.0, close=False):
    """Sends bytes and gives what comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as link:
        link.sendall(data)
        if close:
            return b""
        answer = b""
        try:
            while piece := link.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and re.search(rb"content-length: 0", answer, re.I):
                    break
        except (TimeoutError, ConnectionError):
            pass
        return answer


def head(method="GET", path="/v1/models", fields=(), body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Connection: close", *fields]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def status_of(answer):
    found = re.match(rb"HTTP/1.\d (\d+)", answer)
    return int(found.group(1)) if found else 0


def keys():
    guarded = [("GET", path) for path in (
        "/v1/models", "/v1/models/demo", "/load", "/version", "/tokenizer_info", "/openapi.json")]
    guarded += [("POST", path) for path in (
        "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize",
        "/generate", "/v1/load_lora_adapter", "/v1/unload_lora_adapter")]
    tricks = [["Host: localhost"], ["Host: localhost/health"], ["Host: localhost/health?x="],
              ["Host: x/../health"], ["Host: health"], ["Host: a", "X-Original-URL: /health"],
              ["Host: a", "X-Rewrite-URL: /health"], ["Host: a", "X-Forwarded-Path: /health"],
              ["Host: a", "Authorization: Bearer"], ["Host: a", "Authorization: Bearer "],
              ["Host: a", "Authorization: Basic " + KEY], ["Host: a", "Authorization: " + KEY],
              ["Host: a", "Authorization: Bearer " + KEY + "x"],
              ["Host: a", "Authorization: Bearer " + KEY[:-1]],
              ["Host: a", "Authorization: Bearer x", "Authorization: Bearer y"]]
    for method, path in guarded:
        for fields in tricks:
            answer = speak(head(method, path, fields, b"{}" if method == "POST" else b""))
            checks.that(status_of(answer) in (400, 401), f"{method} {path} {fields}", answer[:200])
    for path in ("//v1/models", "/v1//models", "/health/../v1/models", "/%76%31/models",
                 "/v1/models?x=/health", "/V1/models", "/v1/models/", "/health%2f..%2fv1/models",
                 "http://localhost/v1/models", "/v1/models;/health", "/health/../../v1/models",
                 "/./v1/models", "/v1/models%00", "/v1/models#/health", "*"):
        answer = speak(head("GET", path, ["Host: localhost"]))
        checks.that(status_of(answer) in (400, 401, 404, 405), f"path {path}", answer[:300])
        checks.that(b'"data"' not in answer, f"path {path} shows the models")
    for method in ("OPTIONS", "HEAD", "TRACE", "CONNECT", "DELETE", "get", "G" * 100_000):
        answer = speak(head(method, "/v1/models", ["Host: localhost"]))
        checks.that(400 <= status_of(answer) < 500 or status_of(answer) == 0,
                    f"method {method[:10]}", answer[:200])
    for path in ("/health", "/ping"):
        checks.equal(status_of(speak(head("GET", path, ["Host: localhost"]))), 200, path)


def request_ids():
    answers = {}

    def ask(place, text):
        status, answer = server.call(
            "/v1/completions", {"prompt": text, "max_tokens": 30, "temperature": 0},
            headers={**AUTHORIZED, "X-Request-Id": "same"})
        answers[place] = (status, json.loads(answer)["choices"][0]["text"])
    prompts = [PROMPT, "Once upon", "Question: What does a hen say?\nAnswer:"] * 4
    threads = [threading.Thread(target=ask, args=item) for item in enumerate(prompts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for place, text in enumerate(prompts):
        alone = json.loads(post("/v1/completions", {
            "prompt": text, "max_tokens": 30, "temperature": 0})[1])["choices"][0]["text"]
        checks.equal(answers.get(place), (200, alone), f"the same id for request {place}")
    for name in ("x" * 5000, "a b", "\x1b[31m", "../..", "%0d%0aX-Evil: 1", "ü"):
        answer = speak(head("GET", "/health", ["Host: a", "X-Request-Id: " + name]))
        checks.that(status_of(answer) in (200, 400) and b"X-Evil" not in answer.split(b"\r\n")[1:],
                    f"X-Request-Id {name[:10]!r}", answer[:300])


def smuggling():
    body = b'{"prompt": "x", "max_tokens": 1}'
    auth = ["Host: a", "Authorization: Bearer " + KEY, "Content-Type: application/json"]
    for fields in (["Content-Length: 5", "Transfer-Encoding: chunked"], ["Content-Length: -1"],
                   ["Content-Length: 1", "Content-Length: 2"], ["Content-Length: 99999999999999"],
                   ["Content-Length: x"], ["Transfer-Encoding: x"], ["Content-Length: 0x10"],
                   ["X: " + "y" * 100_000], [f"X{i}: y" for i in range(1000)], ["X" * 70_000 + ": y"],
                   [" folded: x"], ["no colon"], ["Expect: x"], [": x"]):
        answer = speak(head("POST", "/v1/completions", auth + fields) + body, wait=3)
        checks.that(status_of(answer) < 500 or status_of(answer) == 501, f"fields {str(fields)[:50]}",
                    answer[:200])
    for data in (b"\x00" * 1000, b"GET\r\n\r\n", b"\r\n" * 1000, b"GET / HTTP/9.9\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        speak(data, wait=1)
    for chunk in (b"zz\r\nabc", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5;x=" + b"y" * 100_000):
        speak(head("POST", "/v1/completions", auth + ["Transfer-Encoding: chunked"]) + chunk, wait=1)


def lost_clients():
    """Clients that go at every stage."""
    body = json.dumps(completion(max_tokens=400, stream=True, ignore_eos=True)).encode()
    whole = head("POST", "/v1/completions", ["Host: a", "Authorization: Bearer " + KEY], body)
    for at in sorted({1, 10, 30, len(whole) // 2, len(whole) - len(body), len(whole) - 1, len(whole)}):
        for reset in (False, True):
            link = socket.create_connection(("127.0.0.1", server.port))
            if reset:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            link.sendall(whole[:at])
            link.close()
    for size in (1, 100, 1000, 5000):
        link = socket.create_connection(("127.0.0.1", server.port))
        link.sendall(whole)
        link.recv(size)
        link.close()
    plain = head("POST", "/v1/completions", ["Host: a", "Authorization: Bearer " + KEY],
                 json.dumps(completion(max_tokens=400, ignore_eos=True, n=4)).encode())
    for pause in (0, 0.01, 0.1):
        link = socket.create_connection(("127.0.0.1", server.port))
        link.sendall(plain)
        time.sleep(pause)
        link.close()
    checks.that(server.idle(), "gauges after clients that left")


def slow_reader():
    body = json.dumps({"prompt": "x", "n": 32, "temperature": 1, "max_tokens": 400, "logprobs": 20,
                       "stream": True, "ignore_eos": True}).encode()
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect(("127.0.0.1", server.port))
    memory = server.resident()
    link.sendall(head("POST", "/v1/completions", ["Host: a", "Authorization: Bearer " + KEY], body))
    link.recv(100)
    most = 0
    for _ in range(30):
        time.sleep(0.1)
        most = max(most, server.resident() - memory)
    works("a reader that does not read")
    checks.that(most < 48 << 20, "memory for a reader that does not read", f"{most >> 20} MiB")
    link.close()
    checks.that(server.idle(), "gauges after a slow reader")


def idle_connections():
    memory = server.resident()
    links = []
    for _ in range(1000):
        links.append(socket.create_connection(("127.0.0.1", server.port)))
    for link in links[::3]:
        link.sendall(b"POST /v1/compl")
    works("1000 idle connections")
    grown = server.resident() - memory
    checks.that(grown < 64 << 20, "memory of 1000 connections", f"{grown >> 20} MiB")
    for link in links:
        link.close()


# The machine


def killed():
    server.stop(signal.SIGKILL)
    start()
    works("kill -9 and a restart")


def full_disk():
    server.stop()
    start("--access-log", "/dev/full")
    for _ in range(5):
        works("a log that cannot be written")
    checks.equal(server.stop(), 0, "exit status with a full disk")
    start()


def after(group):
    """A group, and whether the server works after it."""
    def run():
        group()
        works(group.__name__)
        checks.that(server.is_alive, "alive")
    run.__name__ = group.__name__
    return run


start()
checks.run(*(after(group) for group in [
    numbers, ids, texts, bodies, fan_out, patterns, schemas, grammars, templates, confinement,
    removed_folder, unload_in_use, keys, request_ids, smuggling, lost_clients, slow_reader,
    idle_connections, killed, full_disk] if not sys.argv[2:] or group.__name__ in sys.argv[2:]))
checks.that(server.idle(), "gauges at the end")
checks.equal(server.stop(), 0, "exit status")
shutil.rmtree(folder)
sys.exit(checks.close())
