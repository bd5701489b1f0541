#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a server through Ollama's own client: ollama_client.py PROGRAM"""

import json
import sys

import jsonschema
import ollama

from server import NAME, TEMPLATE, Checks, serving

checks = Checks()
MESSAGES = [{"role": "user", "content": "What is pea soup made of?"}]
GREEDY = {"temperature": 0, "num_predict": 12}
SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["pea", "leek"]},
                                           "count": {"type": "integer", "minimum": 0, "maximum": 9}},
          "required": ["kind", "count"], "additionalProperties": False}


def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return city


with serving(sys.argv[1], "--chat-template", TEMPLATE, "--tool-call-parser", "hermes",
             "--reasoning-parser", "qwen3", name=NAME) as server:
    client = ollama.Client(host=server.url)

    def lists():
        models = client.list().models
        checks.equal([entry.model for entry in models], [NAME + ":latest"], "list")
        checks.that(models[0].size > 1 << 20, "list: size", models[0])
        checks.equal(len(models[0].digest), 64, "list: digest")
        checks.equal(client.ps().models[0].name, NAME + ":latest", "ps")
        shown = client.show(NAME)
        checks.equal(shown.capabilities, ["completion", "tools", "thinking"], "show: capabilities")
        checks.equal(shown.details.family, "llama", "show: family")
        checks.that(shown.modelinfo["llama.context_length"] > 0, "show: context", shown.modelinfo)

    def chats():
        whole = client.chat(NAME, MESSAGES, options=GREEDY)
        checks.that(whole.message.content, "chat", whole)
        checks.that(whole.done and 0 < whole.eval_count <= 12, "chat: numbers", whole)
        parts = list(client.chat(NAME + ":latest", MESSAGES, options=GREEDY, stream=True))
        checks.equal("".join(part.message.content for part in parts), whole.message.content,
                     "chat: stream")
        checks.equal([part.done for part in parts], [False] * (len(parts) - 1) + [True],
                     "chat: ends once")
        checks.equal(parts[-1].eval_count, whole.eval_count, "chat: count")
        checks.equal(client.chat(NAME, []).done_reason, "load", "chat: load")
        checks.that(client.chat(NAME, MESSAGES, think=False, options=GREEDY).done, "chat: think")

    def completions():
        whole = client.generate(NAME, "What is pea soup made of?", options=GREEDY)
        parts = list(client.generate(NAME, "What is pea soup made of?", options=GREEDY, stream=True))
        checks.equal("".join(part.response for part in parts), whole.response, "generate: stream")
        checks.equal(len(whole.context), whole.prompt_eval_count + whole.eval_count,
                     "generate: context")
        more = client.generate(NAME, "And leek soup?", context=whole.context, options=GREEDY)
        checks.equal(more.context[:len(whole.context)], whole.context, "generate: goes on")
        raw = client.generate(NAME, "Pea soup is", raw=True, options=GREEDY)
        checks.that(raw.response and raw.context is None, "generate: raw", raw)
        checks.equal(client.generate(NAME).done_reason, "load", "generate: load")
        seeded = [client.generate(NAME, "Pea", raw=True, options={"seed": 5, "num_predict": 12})
                  .response for _ in range(2)]
        checks.equal(seeded[0], seeded[1], "generate: seed")

    def forms():
        for seed in range(5):
            answer = client.chat(NAME, MESSAGES, format=SCHEMA,
                                 options={"seed": seed, "num_predict": 200})
            try:
                jsonschema.validate(json.loads(answer.message.content), SCHEMA)
                checks.that(True, "format")
            except (ValueError, jsonschema.ValidationError) as error:
                checks.that(False, "format: schema", error)

    def tools():
        answer = client.chat(NAME, MESSAGES, tools=[weather], options=GREEDY)
        checks.that(answer.done, "tools", answer)
        history = MESSAGES + [
            {"role": "assistant", "content": "",
             "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bern"}}}]},
            {"role": "tool", "tool_name": "weather", "content": "rain"}]
        checks.that(client.chat(NAME, history, tools=[weather], options=GREEDY).done, "tools: history")

    def vectors():
        both = client.embed(NAME, ["peas", "leek"])
        checks.equal([len(vector) for vector in both.embeddings], [256, 256], "embed")
        checks.that(abs(sum(x * x for x in both.embeddings[0]) - 1) < 1e-5, "embed: length 1")
        checks.equal(client.embed(NAME, "peas").embeddings[0], both.embeddings[0], "embed: one")
        checks.equal(list(client.embeddings(NAME, "peas").embedding), list(both.embeddings[0]),
                     "embeddings")

    def errors():
        for status, what, action in (
                (404, "chat", lambda: client.chat("nobody", MESSAGES)),
                (404, "show", lambda: client.show("nobody")),
                (400, "images", lambda: client.chat(
                    NAME, [{"role": "user", "content": "x", "images": ["aGk="]}])),
                (400, "suffix", lambda: client.generate(NAME, "x", suffix="y")),
                (400, "temperature", lambda: client.generate(NAME, "x", options={"temperature": 9})),
                (501, "pull", lambda: client.pull("llama3")),
                (501, "create", lambda: client.create("x", from_="y")),
                (501, "copy", lambda: client.copy("x", "y")),
                (501, "delete", lambda: client.delete("x"))):
            error = checks.raises(ollama.ResponseError, action, what)
            if error:
                checks.equal(error.status_code, status, f"{what}: status")
                checks.that(error.error and "{" not in error.error, f"{what}: words", error.error)
        parts = checks.raises(ollama.ResponseError, lambda: list(
            client.chat("nobody", MESSAGES, stream=True)), "a stream of a wrong model")
        checks.that(parts is not None, "stream error")

    checks.run(lists, chats, completions, forms, tools, vectors, errors)
sys.exit(checks.close())
