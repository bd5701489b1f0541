#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a server through litellm, a proxy in common use: litellm_client.py PROGRAM"""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from server import NAME, TEMPLATE, Checks, serving

litellm.telemetry = False
checks = Checks()
MESSAGES = [{"role": "user", "content": "What is pea soup made of?"}]

with serving(sys.argv[1], "--chat-template", TEMPLATE, "--api-key", "k") as server:
    def ask(call, provider, **options):
        return call(model=f"{provider}/{NAME}", api_base=server.url + "/v1", api_key="k",
                    temperature=0, max_tokens=12, num_retries=0, **options)

    def chats():
        for provider in ("openai", "hosted_vllm"):
            whole = ask(litellm.completion, provider, messages=MESSAGES)
            checks.that(0 < whole.usage.completion_tokens <= 12, f"{provider}: usage", whole.usage)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in ask(
                litellm.completion, provider, messages=MESSAGES, stream=True))
            checks.equal(text, whole.choices[0].message.content, f"{provider}: stream")

    def completions():
        answer = ask(litellm.text_completion, "text-completion-openai", prompt="Pea soup is")
        checks.that(answer.choices[0].text, "completion", answer)

    def embeddings():
        answer = litellm.embedding(model=f"hosted_vllm/{NAME}", api_base=server.url + "/v1",
                                   api_key="k", input=["soup"])
        checks.equal(len(answer.data[0]["embedding"]), 256, "embedding")

    def errors():
        checks.raises(litellm.BadRequestError, lambda: litellm.completion(
            model=f"openai/{NAME}", api_base=server.url + "/v1", api_key="k", messages=MESSAGES,
            temperature=5, num_retries=0), "a wrong temperature")
        checks.raises(litellm.AuthenticationError, lambda: litellm.completion(
            model=f"openai/{NAME}", api_base=server.url + "/v1", api_key="x", messages=MESSAGES,
            num_retries=0), "a wrong key")
        checks.raises(litellm.NotFoundError, lambda: litellm.completion(
            model="openai/nobody", api_base=server.url + "/v1", api_key="k", messages=MESSAGES,
            num_retries=0), "a wrong model")

    checks.run(chats, completions, embeddings, errors)
sys.exit(checks.close())
