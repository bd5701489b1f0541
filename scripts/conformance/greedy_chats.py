#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares greedy chats through a server and through its page with those of transformers in f32, token for token.

usage: greedy_chats.py PROGRAM MODEL [TOKENS]    the page is left out where there is no chromium
"""

import json
import os
import shutil
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from playwright.sync_api import sync_playwright
from server import NAME, Checks, serving
from web_page import Page

CHATS = [
    [{"role": "user", "content": "Why is the sky blue?"}],
    [{"role": "system", "content": "Answer in one short sentence."},
     {"role": "user", "content": "What does a lighthouse do?"}],
    [{"role": "user", "content": "My name is Ada."},
     {"role": "assistant", "content": "Nice to meet you, Ada."},
     {"role": "user", "content": "What is my name, and what letter does it begin with?"}],
    [{"role": "user", "content": "Write a Python function that returns the largest of three numbers."}],
    [{"role": "user", "content": "Nenne drei Städte: eine in Österreich, zwei in der Schweiz. 🙂"}],
]

folder = sys.argv[2]
length = int(sys.argv[3]) if len(sys.argv) > 3 else 128
checks = Checks()
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def expected(chat):
    """The prompt's tokens, and those of the answer with its end token."""
    prompt = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        # Whatever the folder recommends, the likeliest token is taken.
        whole = model.generate(
            **prompt, do_sample=False, max_new_tokens=length, temperature=None, top_p=None,
            top_k=None, repetition_penalty=1.0)[0].tolist()
    count = prompt.input_ids.shape[1]
    return whole[:count], whole[count:]


def margin(tokens):
    """How far the likeliest next token is ahead of the second."""
    with torch.no_grad():
        best = model(torch.tensor([tokens])).logits[0, -1].topk(2).values
    return (best[0] - best[1]).item()


def compare(found, tokens, prompt, what):
    """Checks an answer's tokens; says how sure the model was where the first differs."""
    global compared
    same = next((place for place, pair in enumerate(zip(found, tokens))
                 if pair[0] != pair[1]), min(len(found), len(tokens)))
    compared += same
    if not checks.that(found == tokens, what):
        print(f"  equal for {same} of {len(tokens)} tokens; there the likeliest token is "
              f"{margin(prompt + tokens[:same]):.6f} ahead of the second", flush=True)


class Exchange:
    """What the page asked for, and what was answered, with token ids beside the text."""

    def __init__(self, page):
        self.asked, self.events = None, []
        page.route("**/v1/chat/completions", self.forward)

    def forward(self, route):
        # The page's own request; only the ids are asked for besides, and what the folder recommends is put off.
        body = route.request.post_data_json
        self.asked = body["messages"]
        answer = route.fetch(post_data=json.dumps(
            {**body, "return_token_ids": True, "repetition_penalty": 1.0}), timeout=600_000)
        text = answer.text()
        self.events = [json.loads(line[6:]) for line in text.splitlines()
                       if line.startswith("data: {")]
        route.fulfill(response=answer, body=text)

    def prompt_length(self):
        return [event["usage"] for event in self.events if event.get("usage")][-1]["prompt_tokens"]

    def choices(self):
        return [choice for event in self.events for choice in event["choices"]]

    def tokens(self):
        return [token for choice in self.choices() for token in choice.get("token_ids") or []]

    def text(self):
        return "".join(choice["delta"].get("content") or "" for choice in self.choices())


compared = 0
with serving(sys.argv[1], "--precision", "f32", "--kv-cache-dtype", "f32", "--max-num-seqs", "8",
             "--max-model-len", "2048", model=folder) as server:
    def ask(chat, **options):
        status, answer = server.call("/v1/chat/completions", {
            "model": NAME, "messages": chat, "temperature": 0, "repetition_penalty": 1.0,
            "max_tokens": length, "return_token_ids": True, **options}, timeout=600)
        if status != 200:
            raise RuntimeError(answer)
        return json.loads(answer)

    def chats():
        for number, chat in enumerate(CHATS):
            prompt, tokens = expected(chat)
            answer = ask(chat)
            checks.equal(answer["prompt_token_ids"], prompt, f"chat {number}: prompt")
            compare(answer["choices"][0]["token_ids"], tokens, prompt, f"chat {number}: tokens")

    def ollama():
        for number, chat in enumerate(CHATS):
            status, answer = server.call("/api/chat", {
                "model": NAME, "messages": chat, "stream": False, "options": {
                    "temperature": 0, "repeat_penalty": 1.0, "num_predict": length}}, timeout=600)
            checks.equal(status, 200, f"chat {number}: Ollama's status")
            checks.equal(json.loads(answer)["message"]["content"],
                         ask(chat)["choices"][0]["message"]["content"],
                         f"chat {number}: Ollama's text")

    def page():
        """The same questions typed into the page, which sends its own answers back with the next one."""
        chromium = shutil.which("chromium")
        if chromium is None:
            print("there is no chromium: the page is not compared", flush=True)
            return
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for number, chat in enumerate(CHATS):
                view = Page(browser, server.url + "/")
                view.page.set_default_timeout(600_000)
                exchange = Exchange(view.page)
                view.settle(temperature=0, max_tokens=length)
                said = [message for message in chat if message["role"] == "system"]
                if said:
                    view.system(said[0]["content"])
                for turn, message in enumerate(m for m in chat if m["role"] == "user"):
                    what = f"page, chat {number}, turn {turn}"
                    said.append(message)
                    view.say(message["content"])
                    view.wait_for_answer(turn + 1, timeout=600_000)
                    prompt, tokens = expected(said)
                    checks.equal(exchange.asked, said, f"{what}: messages")
                    checks.equal(exchange.prompt_length(), len(prompt), f"{what}: prompt")
                    compare(exchange.tokens(), tokens, prompt, f"{what}: tokens")
                    text = tokenizer.decode(tokens, skip_special_tokens=True)
                    checks.equal(exchange.text(), text, f"{what}: text")
                    checks.that(view.text(".turn.assistant .text").strip(), f"{what}: it is shown")
                    said.append({"role": "assistant", "content": exchange.text()})
                checks.that(not view.complaints, f"page, chat {number}: {view.complaints}")
                view.page.context.close()
            browser.close()

    checks.run(chats, ollama, page)
print(f"{compared} tokens are equal")
sys.exit(checks.close())
