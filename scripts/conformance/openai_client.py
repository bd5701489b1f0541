#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a server by OpenAI's own client: openai_client.py PROGRAM"""

import base64
import json
import math
import os
import re
import struct
import sys
import tempfile
import time

import jsonschema
import openai

from adapters import write_adapter
from server import NAME, TEMPLATE, Checks, Server

KEY = "token-abc123"
PROMPT = "Question: What is pea soup made of?\nAnswer:"
GREEDY = {"model": NAME, "temperature": 0}
PANTRY = {"type": "object", "properties": {
    "name": {"enum": ["pea", "leek"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "count"], "additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "cook", "parameters": PANTRY}},
    {"type": "function", "function": {"name": "rest", "parameters": {
        "type": "object", "properties": {"long": {"type": "boolean"}}, "required": ["long"],
        "additionalProperties": False}}},
]

checks = Checks()
folder = tempfile.mkdtemp(prefix="eft-conformance-")
first = write_adapter(os.path.join(folder, "first"), 1)
write_adapter(os.path.join(folder, "second"), 2)
server = Server(
    sys.argv[1], "--api-key", KEY, "--chat-template", TEMPLATE, "--tool-call-parser", "hermes",
    "--reasoning-parser", "qwen3", "--adapter", f"first={first}", "--lora-dir", folder,
    "--open-metrics")
client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=60)


def complete(prompt=PROMPT, **options):
    return client.completions.create(prompt=prompt, **{**GREEDY, **options})


def chat(text="What is pea soup made of?", **options):
    messages = options.pop("messages", [{"role": "user", "content": text}])
    return client.chat.completions.create(messages=messages, **{**GREEDY, **options})


def tokens(text):
    status, body = server.call(
        "/tokenize", {"prompt": text}, headers={"Authorization": "Bearer " + KEY})
    assert status == 200, body
    return json.loads(body)["tokens"]


def models():
    ids = [model.id for model in client.models.list()]
    checks.equal(ids, [NAME, "first"], "models.list")
    checks.equal(client.models.retrieve("first").parent, NAME, "models.retrieve of an adapter")
    checks.raises(openai.NotFoundError, lambda: client.models.retrieve("nobody"),
                  "models.retrieve of nothing")


def completions():
    answer = complete(max_tokens=24)
    checks.equal(answer.object, "text_completion", "object")
    checks.equal(answer.model, NAME, "model")
    checks.that(answer.id.startswith("cmpl-"), "id", answer.id)
    checks.that(abs(answer.created - time.time()) < 60, "created", answer.created)
    choice = answer.choices[0]
    checks.equal((choice.index, choice.finish_reason, choice.logprobs), (0, "length", None), "choice")
    usage = answer.usage
    checks.equal(usage.prompt_tokens, len(tokens(PROMPT)), "prompt tokens")
    checks.equal(usage.completion_tokens, 24, "completion tokens")
    checks.equal(usage.total_tokens, usage.prompt_tokens + 24, "total tokens")
    checks.equal(complete(max_tokens=24).choices[0].text, choice.text, "greedy again")
    checks.equal(complete(tokens(PROMPT), max_tokens=24).choices[0].text, choice.text, "ids")
    checks.equal(complete().usage.completion_tokens, 16, "16 tokens when nothing is said")
    both = complete([PROMPT, "Once"], max_tokens=8)
    checks.equal([c.index for c in both.choices], [0, 1], "two prompts")
    checks.that(choice.text.startswith(both.choices[0].text), "first of two", both.choices[0].text)
    ids = complete([tokens(PROMPT), tokens("Once")], max_tokens=8)
    checks.equal([c.text for c in ids.choices], [c.text for c in both.choices], "lists of ids")
    many = complete([PROMPT, "Once"], n=3, max_tokens=6, temperature=2, seed=3)
    checks.equal([c.index for c in many.choices], list(range(6)), "n times prompts")
    checks.equal(many.usage.completion_tokens <= 36, True, "usage of n")
    checks.equal(many.usage.prompt_tokens, len(tokens(PROMPT)) + len(tokens("Once")),
                 "prompts counted once")
    checks.that(len({c.text for c in many.choices[:3]}) > 1, "samples differ",
                [c.text for c in many.choices])


def seeds():
    def draw(seed, **more):
        return [c.text for c in complete(temperature=1.2, seed=seed, max_tokens=24, **more).choices]
    checks.equal(draw(7), draw(7), "a seed repeats its answer")
    checks.that(draw(7) != draw(8), "seeds differ")
    checks.equal(draw(7, n=3), draw(7, n=3), "a seed repeats n answers")
    checks.equal(draw(-5), draw(-5), "a negative seed")
    checks.that(len({draw(-1)[0] for _ in range(4)}) > 1, "-1 is no seed")


def echo_and_logprobs():
    ids = tokens(PROMPT)
    answer = complete(max_tokens=5, echo=True, logprobs=2)
    choice, logprobs = answer.choices[0], answer.choices[0].logprobs
    checks.that(choice.text.startswith(PROMPT), "the prompt is repeated", choice.text)
    checks.equal(len(logprobs.tokens), len(ids) + 5, "entries")
    checks.equal(logprobs.token_logprobs[0], None, "the first has no score")
    checks.equal(logprobs.top_logprobs[0], None, "nor a list")
    for at, (offset, token) in enumerate(zip(logprobs.text_offset, logprobs.tokens)):
        checks.equal(choice.text[offset:offset + len(token)], token, f"offset {at}")
    for at in range(1, len(logprobs.tokens)):
        top = logprobs.top_logprobs[at]
        checks.that(2 <= len(top) <= 3 and logprobs.tokens[at] in top, f"list {at}", top)
        checks.equal(top.get(logprobs.tokens[at]), logprobs.token_logprobs[at], f"score {at}")
    for at in range(len(ids), len(ids) + 5):
        checks.equal(max(logprobs.top_logprobs[at].values()), logprobs.token_logprobs[at],
                     f"greedy takes the likeliest {at}")
    alone = complete(max_tokens=0, echo=True, logprobs=1).choices[0]
    checks.equal(alone.text, PROMPT, "the prompt alone")
    checks.equal(alone.logprobs.token_logprobs[1:], logprobs.token_logprobs[1:len(ids)],
                 "the prompt's scores alone")
    zero = complete(max_tokens=3, logprobs=0).choices[0].logprobs
    checks.equal([len(top) for top in zero.top_logprobs], [1, 1, 1], "logprobs 0")
    spelled = complete(max_tokens=2, logprobs=1, extra_body={
        "return_tokens_as_token_ids": True, "return_token_ids": True}).choices[0]
    checks.equal([f"token_id:{i}" for i in spelled.token_ids], spelled.logprobs.tokens, "as ids")
    scored = complete(max_tokens=1, extra_body={"prompt_logprobs": 1}).choices[0].prompt_logprobs
    checks.equal(scored[0], None, "prompt_logprobs begin with null")
    own = [entry[str(i)]["logprob"] for entry, i in zip(scored[1:], ids[1:])]
    checks.equal(own, logprobs.token_logprobs[1:len(ids)], "prompt_logprobs are echo's")


def gathered(stream, n=1):
    """Texts, reasons and usage of a stream of completions."""
    texts, reasons, usage, ids, logprobs = [""] * n, [None] * n, None, set(), [[] for _ in range(n)]
    for chunk in stream:
        ids.add((chunk.id, chunk.object, chunk.created, chunk.model))
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.logprobs:
                logprobs[choice.index] += choice.logprobs.token_logprobs
            if choice.finish_reason:
                checks.equal(reasons[choice.index], None, "one reason a choice")
                reasons[choice.index] = choice.finish_reason
    checks.equal(len(ids), 1, "one head for all chunks")
    return texts, reasons, usage, logprobs


def streams():
    for name, options in {
        "greedy": {"max_tokens": 30}, "sampled": {"max_tokens": 30, "temperature": 1, "seed": 5},
        "samples": {"max_tokens": 20, "temperature": 1, "seed": 5, "n": 3},
        "stop": {"max_tokens": 60, "stop": ["ns an", "zzz"]},
        "echo": {"max_tokens": 5, "echo": True}, "scored": {"max_tokens": 9, "logprobs": 3},
        "scored echo": {"max_tokens": 4, "logprobs": 1, "echo": True},
        "emoji": {"max_tokens": 12, "logit_bias": {"130": 100}},
    }.items():
        whole = complete(**options)
        n = len(whole.choices)
        texts, reasons, usage, logprobs = gathered(
            complete(**options, stream=True, stream_options={"include_usage": True}), n)
        checks.equal(texts, [c.text for c in whole.choices], f"text of stream {name}")
        checks.equal(reasons, [c.finish_reason for c in whole.choices], f"reasons of stream {name}")
        checks.equal(usage.completion_tokens, whole.usage.completion_tokens, f"usage {name}")
        if whole.choices[0].logprobs:
            checks.equal(logprobs, [c.logprobs.token_logprobs for c in whole.choices],
                         f"scores of stream {name}")
    checks.equal(gathered(complete(stream=True))[2], None, "no usage unless asked for")
    always = list(complete(stream=True, max_tokens=6, stream_options={
        "include_usage": True, "continuous_usage_stats": True}))
    checks.that(all(chunk.usage for chunk in always), "usage in all chunks")
    checks.equal(always[-1].choices, [], "the last chunk has usage alone")


def stops():
    text = complete(max_tokens=40).choices[0].text
    for stop in ("onions", "ns and", "\n", " butter."):
        at = text.find(stop)
        if at < 0:
            continue
        answer = complete(max_tokens=40, stop=stop).choices[0]
        checks.equal(answer.text, text[:at], f"ends before {stop!r}")
        checks.equal((answer.finish_reason, answer.stop_reason), ("stop", stop), f"reason {stop!r}")
        kept = complete(max_tokens=40, stop=[stop],
                        extra_body={"include_stop_str_in_output": True}).choices[0]
        checks.equal(kept.text, text[:at] + stop, f"keeps {stop!r}")
        pieces = [chunk.choices[0].text for chunk in complete(max_tokens=40, stop=stop, stream=True)]
        checks.equal("".join(pieces), text[:at], f"streams nothing of {stop!r}")
    ids = complete(max_tokens=8, extra_body={"return_token_ids": True}).choices[0].token_ids
    cut = complete(max_tokens=8, extra_body={
        "stop_token_ids": [ids[3]], "return_token_ids": True}).choices[0]
    checks.equal((cut.finish_reason, cut.stop_reason), ("stop", ids[3]), "a token stops")
    checks.equal(cut.text, complete(max_tokens=ids.index(ids[3])).choices[0].text
                 if ids.index(ids[3]) else "", "without its text")
    least = complete(max_tokens=12, extra_body={
        "stop_token_ids": ids, "min_tokens": 6, "return_token_ids": True}).choices[0]
    checks.that(not set(least.token_ids[:6]) & set(ids), "min_tokens keeps stops away", least)
    long = complete(max_tokens=200, extra_body={"ignore_eos": True})
    checks.equal(long.usage.completion_tokens, 200, "ignore_eos")


def settings():
    def ids(**options):
        more = options.pop("extra_body", {})
        return complete(max_tokens=10, **options,
                        extra_body={"return_token_ids": True, **more}).choices[0].token_ids
    plain = ids()
    checks.equal(ids(logit_bias={"77": 100}), [77] * 10, "logit_bias forces")
    checks.that(plain[0] not in ids(logit_bias={str(plain[0]): -100}), "logit_bias forbids")
    checks.that(set(ids(extra_body={"allowed_token_ids": [70, 71]})) <= {70, 71}, "allowed ids")
    word = complete(max_tokens=1).choices[0].text
    again = complete(max_tokens=10, extra_body={"bad_words": [word.strip()]}).choices[0].text
    checks.that(not again.startswith(word), "bad_words", again)
    checks.that(len(set(ids(frequency_penalty=2, presence_penalty=2))) >= len(set(plain)),
                "penalties spread")
    checks.equal(ids(temperature=1, top_p=1e-6), plain, "top_p 0 is greedy")
    checks.equal(ids(temperature=1, extra_body={"top_k": 1}), plain, "top_k 1 is greedy")
    checks.equal(ids(temperature=1, extra_body={"min_p": 1}), plain, "min_p 1 is greedy")
    checks.that(ids(extra_body={"repetition_penalty": 2}) != plain, "repetition_penalty")


def beams():
    answer = complete(n=3, max_tokens=8, extra_body={"use_beam_search": True})
    checks.equal([c.index for c in answer.choices], [0, 1, 2], "beams")
    checks.equal(len({c.text for c in answer.choices}), 3, "beams differ")
    scored = complete(max_tokens=8, logprobs=0).choices[0]
    best = answer.choices[0].model_extra.get("cumulative_logprob", 0)
    checks.that(best >= sum(scored.logprobs.token_logprobs) - 1e-3, "beams are no worse than greed",
                (best, scored.logprobs.token_logprobs))


def chats():
    answer = chat(max_completion_tokens=20, logprobs=True, top_logprobs=2)
    choice = answer.choices[0]
    checks.equal(answer.object, "chat.completion", "object")
    checks.equal(choice.message.role, "assistant", "role")
    checks.equal(answer.usage.completion_tokens, len(choice.logprobs.content), "entries")
    for entry in choice.logprobs.content:
        checks.equal(len(entry.top_logprobs), 2, "top entries")
        checks.equal(entry.top_logprobs[0].logprob, entry.logprob, "greedy first")
        checks.equal(bytes(entry.bytes).decode("utf-8", "replace"), entry.token, "bytes")
    text, role, reason, usage = "", None, None, None
    for chunk in chat(max_completion_tokens=20, stream=True, stream_options={"include_usage": True}):
        checks.equal(chunk.object, "chat.completion.chunk", "object of a chunk")
        usage = chunk.usage or usage
        for piece in chunk.choices:
            role = role or piece.delta.role
            text += piece.delta.content or ""
            reason = piece.finish_reason or reason
    checks.equal((text, role, reason), (choice.message.content, "assistant", choice.finish_reason),
                 "stream of a chat")
    checks.equal(usage.completion_tokens, answer.usage.completion_tokens, "usage of a stream")
    many = chat(n=2, temperature=1, seed=1, max_completion_tokens=12)
    checks.equal([c.index for c in many.choices], [0, 1], "n chats")
    parts = chat(messages=[{"role": "user", "content": [
        {"type": "text", "text": "What is pea soup "}, {"type": "text", "text": "made of?"}]}],
        max_completion_tokens=4)
    checks.equal(parts.choices[0].finish_reason, "length", "content in parts")
    system = chat(messages=[{"role": "developer", "content": "Be brief."},
                            {"role": "user", "content": "Hello"},
                            {"role": "assistant", "content": "Hello."},
                            {"role": "user", "content": "What?"}], max_completion_tokens=4)
    checks.equal(system.choices[0].finish_reason, "length", "a conversation")
    on = chat(messages=[{"role": "user", "content": "Say it"},
                        {"role": "assistant", "content": "Pea soup is"}], max_completion_tokens=4,
              extra_body={"continue_final_message": True, "add_generation_prompt": False,
                          "echo": True})
    checks.that(on.choices[0].message.content.startswith("Pea soup is"), "goes on", on)
    checks.equal(chat(max_tokens=3).usage.completion_tokens, 3, "max_tokens")


def tools():
    def judge(call, what):
        schema = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}
        checks.that(call.id and call.type == "function", f"{what}: a call", call)
        jsonschema.validate(json.loads(call.function.arguments), schema[call.function.name])

    for seed in range(3):
        answer = chat(tools=TOOLS, tool_choice="required", temperature=1, seed=seed,
                      max_completion_tokens=200, parallel_tool_calls=False).choices[0]
        checks.equal(len(answer.message.tool_calls or []), 1, "one call")
        judge(answer.message.tool_calls[0], "required")
        checks.equal(answer.finish_reason, "tool_calls", "reason of a call")
        named = chat(tools=TOOLS, temperature=1, seed=seed, max_completion_tokens=200, tool_choice={
            "type": "function", "function": {"name": "rest"}}).choices[0]
        checks.equal(named.message.tool_calls[0].function.name, "rest", "named")
        judge(named.message.tool_calls[0], "named")
        checks.equal(named.finish_reason, "stop", "reason of a named call")
    call = '<tool_call>\n{"name": "cook", "arguments": {"name": "leek", "count": 4}}\n</tool_call>'
    forced = {"structured_outputs": {"choice": [call]}}
    auto = chat(tools=TOOLS, max_completion_tokens=200, extra_body=forced).choices[0]
    checks.equal(auto.finish_reason, "tool_calls", "reason of auto")
    judge(auto.message.tool_calls[0], "auto")
    checks.equal(json.loads(auto.message.tool_calls[0].function.arguments),
                 {"name": "leek", "count": 4}, "arguments")
    checks.that(not auto.message.content, "no content beside a call", auto.message.content)
    name, arguments, ids, reason, content = "", "", set(), None, ""
    for chunk in chat(tools=TOOLS, max_completion_tokens=200, stream=True, extra_body=forced):
        for piece in chunk.choices:
            content += piece.delta.content or ""
            reason = piece.finish_reason or reason
            for part in piece.delta.tool_calls or []:
                name += part.function.name or ""
                arguments += part.function.arguments or ""
                ids |= {part.id} if part.id else set()
    checks.equal((name, json.loads(arguments), len(ids), reason, content),
                 ("cook", {"name": "leek", "count": 4}, 1, "tool_calls", ""), "a streamed call")
    none = chat(tools=TOOLS, tool_choice="none", max_completion_tokens=8).choices[0]
    checks.equal(none.message.tool_calls, None, "none")
    after = chat(messages=[
        {"role": "user", "content": "Cook"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "cook", "arguments": '{"name": "pea", "count": 1}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"}],
        tools=TOOLS, tool_choice="none", max_completion_tokens=4)
    checks.equal(after.choices[0].finish_reason, "length", "a tool's answer")
    bad = {"type": "function", "function": {"name": "nobody"}}
    checks.raises(openai.BadRequestError, lambda: chat(tools=TOOLS, tool_choice=bad), "no such tool")
    checks.raises(openai.BadRequestError, lambda: chat(tool_choice="required"), "no tools")
    checks.raises(openai.BadRequestError, lambda: chat(extra_body={"tools": []}), "an empty list")


def structured():
    schemas = [
        PANTRY,
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
        {"type": "object", "properties": {"at": {"type": "string", "pattern": "^[a-c]{2,4}$"},
                                          "kind": {"anyOf": [{"const": 1}, {"type": "null"}]}},
         "required": ["at", "kind"], "additionalProperties": False},
        {"$defs": {"leaf": {"enum": ["a", "b"]}}, "type": "array", "prefixItems": [
            {"$ref": "#/$defs/leaf"}, {"type": "boolean"}], "items": False, "minItems": 2},
    ]
    for at, schema in enumerate(schemas):
        for seed in range(2):
            text = chat(temperature=1, seed=seed, max_completion_tokens=300, response_format={
                "type": "json_schema", "json_schema": {"name": "it", "schema": schema}})
            try:
                jsonschema.validate(json.loads(text.choices[0].message.content), schema)
                checks.that(True, f"schema {at}")
            except ValueError as error:
                checks.that(False, f"schema {at}", (error, text.choices[0]))
    for pattern in (r"[a-f]{3}-\d{2,4}", r"(yes|no)( indeed)?", r"\d+(\.\d+)? (kg|lb)"):
        text = complete(temperature=1, seed=4, max_tokens=60, extra_body={
            "structured_outputs": {"regex": pattern}}).choices[0]
        checks.that(re.fullmatch(pattern, text.text) or text.finish_reason == "length", pattern,
                    text)
    text = complete(max_tokens=40, extra_body={"structured_outputs": {"choice": ["alpha", "beta"]}})
    checks.that(text.choices[0].text in ("alpha", "beta"), "choice", text.choices[0])
    grammar = 'root ::= "(" item ("," item)* ")"\nitem ::= [a-c]+'
    text = complete(temperature=1, seed=2, max_tokens=200, extra_body={
        "structured_outputs": {"grammar": grammar}}).choices[0]
    checks.that(re.fullmatch(r"\([a-c]+(,[a-c]+)*\)", text.text) or text.finish_reason == "length",
                "grammar", text)
    text = complete(max_tokens=300, temperature=1, seed=1,
                    extra_body={"response_format": {"type": "json_object"}}).choices[0]
    checks.that(text.finish_reason == "length" or isinstance(json.loads(text.text), dict),
                "json_object", text)


def reasoning():
    forced = {"structured_outputs": {"choice": ["<think>peas\n</think>\n\nsoup"]}}
    answer = chat(max_completion_tokens=60, extra_body=forced)
    message = answer.choices[0].message
    checks.equal((message.content.strip(), message.reasoning.strip()), ("soup", "peas"), "thoughts")
    counted = answer.usage.completion_tokens_details.reasoning_tokens
    checks.that(0 < counted < answer.usage.completion_tokens, "reasoning tokens", answer.usage)
    content = thoughts = ""
    for chunk in chat(max_completion_tokens=60, stream=True, extra_body=forced):
        for piece in chunk.choices:
            content += piece.delta.content or ""
            thoughts += getattr(piece.delta, "reasoning", None) or ""
    checks.equal((content, thoughts), (message.content, message.reasoning), "streamed thoughts")
    hidden = chat(max_completion_tokens=60, extra_body={**forced, "include_reasoning": False})
    checks.equal(hidden.choices[0].message.reasoning, None, "thoughts left out")


def embeddings():
    plain = client.embeddings.create(model=NAME, input=["soup", "a pony"], encoding_format="float")
    checks.equal([len(item.embedding) for item in plain.data], [256, 256], "extents")
    for item in plain.data:
        checks.that(abs(math.fsum(x * x for x in item.embedding) - 1) < 1e-4, "length 1")
    packed = client.embeddings.create(model=NAME, input=["soup", "a pony"])
    checks.that(all(abs(a - b) < 1e-6 for one, two in zip(plain.data, packed.data)
                    for a, b in zip(one.embedding, two.embedding)), "the client's base64")
    status, body = server.call("/v1/embeddings", {
        "input": "soup", "encoding_format": "base64"}, headers={"Authorization": "Bearer " + KEY})
    raw = base64.b64decode(json.loads(body)["data"][0]["embedding"])
    vector = struct.unpack(f"<{len(raw) // 4}f", raw)
    checks.that(status == 200 and all(
        abs(a - b) < 1e-6 for a, b in zip(vector, plain.data[0].embedding)), "base64")
    short = client.embeddings.create(model=NAME, input="soup", dimensions=16)
    checks.equal(len(short.data[0].embedding), 16, "dimensions")
    checks.equal(plain.usage.prompt_tokens, len(tokens("soup")) + len(tokens("a pony")), "usage")


def errors():
    for what, kind, parameter, call in [
        ("model", openai.NotFoundError, "model", lambda: complete(model="nobody")),
        ("max_tokens", openai.BadRequestError, "max_tokens", lambda: complete(max_tokens=0)),
        ("temperature", openai.BadRequestError, "temperature", lambda: complete(temperature=3)),
        ("n", openai.BadRequestError, "n", lambda: complete(n=10**6, temperature=1)),
        ("logprobs", openai.BadRequestError, "logprobs", lambda: complete(logprobs=1000)),
        ("top_p", openai.BadRequestError, "top_p", lambda: complete(top_p=2)),
        ("prompt", openai.BadRequestError, "prompt", lambda: complete(prompt=list(range(2000)))),
        ("stream_options", openai.BadRequestError, "stream_options",
         lambda: complete(stream_options={"include_usage": True})),
        ("messages", openai.BadRequestError, "messages", lambda: chat(messages=[])),
        ("top_logprobs", openai.BadRequestError, "top_logprobs", lambda: chat(top_logprobs=2)),
        ("schema", openai.BadRequestError, None, lambda: chat(response_format={
            "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 3}}})),
        ("suffix", openai.BadRequestError, "suffix", lambda: complete(suffix="x")),
        ("best_of", openai.BadRequestError, "best_of", lambda: complete(best_of=2)),
        ("guided", openai.BadRequestError, "guided_regex",
         lambda: complete(extra_body={"guided_regex": "a"})),
    ]:
        error = checks.raises(kind, call, f"error of {what}")
        if error is not None:
            checks.equal(error.body.get("param"), parameter, f"param of {what}")
            checks.that(error.body.get("message") and error.body.get("type"), f"body of {what}",
                        error.body)
            checks.equal(error.body.get("code"), error.status_code, f"code of {what}")
    stranger = openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0)
    checks.raises(openai.AuthenticationError, stranger.models.list, "a wrong key")
    checks.raises(openai.AuthenticationError,
                  lambda: list(stranger.completions.create(**GREEDY, prompt="x", stream=True)),
                  "a wrong key of a stream")
    checks.raises(openai.BadRequestError,
                  lambda: list(complete(temperature=9, stream=True)), "a wrong stream")


def cancellation():
    before = server.metrics()
    for _ in range(20):
        stream = complete(max_tokens=400, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
    quick = openai.OpenAI(
        base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=0.05)
    for _ in range(20):
        try:
            quick.completions.create(
                **GREEDY, prompt=PROMPT, max_tokens=400, extra_body={"ignore_eos": True})
        except openai.APITimeoutError:
            pass
    checks.that(server.idle(), "gauges return to zero")
    name = ("vllm:request_success_total", (("finished_reason", "abort"),))
    checks.that(server.metrics()[name] > before.get(name, 0), "cancelled ones are counted")
    checks.equal(complete(max_tokens=3).usage.completion_tokens, 3, "the next one works")


def lora():
    base = complete(max_tokens=24, logprobs=0).choices[0]
    own = complete(model="first", max_tokens=24, logprobs=0)
    checks.equal(own.model, "first", "the adapter's name")
    checks.that(own.choices[0].logprobs.token_logprobs != base.logprobs.token_logprobs,
                "an adapter matters")
    headers = {"Authorization": "Bearer " + KEY}

    def load(name, path, **more):
        return server.call(
            "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path, **more}, headers=headers)

    checks.equal(load("second", "second")[0], 200, "load")
    checks.equal(load("second", "second")[0], 400, "load twice")
    checks.equal(load(NAME, "second")[0], 400, "the base's name")
    checks.equal(load("third", "third")[0], 404, "no such folder")
    checks.that("second" in [m.id for m in client.models.list()], "listed")
    two = complete(model="second", max_tokens=24, logprobs=0).choices[0]
    checks.that(two.logprobs.token_logprobs != own.choices[0].logprobs.token_logprobs,
                "adapters differ")
    # New weights under an old name must not meet the old ones' keys and values.
    write_adapter(os.path.join(folder, "second"), 3)
    checks.equal(load("second", "second", load_inplace=True)[0], 200, "load in place")
    three = complete(model="second", max_tokens=24, logprobs=0).choices[0]
    checks.that(three.logprobs.token_logprobs != two.logprobs.token_logprobs, "new weights")
    write_adapter(os.path.join(folder, "second"), 2)
    checks.equal(load("again", "second")[0], 200, "the old ones again")
    checks.equal(complete(model="again", max_tokens=24, logprobs=0).choices[0].logprobs,
                 two.logprobs, "as before")
    for name in ("second", "again"):
        status, _ = server.call("/v1/unload_lora_adapter", {"lora_name": name}, headers=headers)
        checks.equal(status, 200, "unload")
    checks.equal(server.call("/v1/unload_lora_adapter", {"lora_name": "second"},
                             headers=headers)[0], 404, "unload twice")
    checks.raises(openai.NotFoundError, lambda: complete(model="second"), "an unloaded one")
    checks.equal(complete(max_tokens=24, logprobs=0).choices[0].logprobs, base.logprobs,
                 "the base is as before")


checks.run(models, completions, seeds, echo_and_logprobs, streams, stops, settings, beams, chats,
           tools, structured, reasoning, embeddings, errors, cancellation, lora)
checks.that(server.idle(), "idle at the end")
checks.that(server.is_alive, "alive at the end")
checks.equal(server.stop(), 0, "exit status")
sys.exit(checks.close())
