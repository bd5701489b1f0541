#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares greedy chats through a server with those of transformers in f32, token for token:
greedy_chats.py PROGRAM MODEL [TOKENS]"""

import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from server import NAME, Checks, serving

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
        global compared
        for number, chat in enumerate(CHATS):
            prompt, tokens = expected(chat)
            answer = ask(chat)
            checks.equal(answer["prompt_token_ids"], prompt, f"chat {number}: prompt")
            found = answer["choices"][0]["token_ids"]
            same = next((place for place, pair in enumerate(zip(found, tokens))
                         if pair[0] != pair[1]), min(len(found), len(tokens)))
            compared += same
            if not checks.that(found == tokens, f"chat {number}: tokens"):
                print(f"  equal for {same} of {len(tokens)} tokens; there the likeliest token is "
                      f"{margin(prompt + tokens[:same]):.6f} ahead of the second", flush=True)

    def ollama():
        for number, chat in enumerate(CHATS):
            status, answer = server.call("/api/chat", {
                "model": NAME, "messages": chat, "stream": False, "options": {
                    "temperature": 0, "repeat_penalty": 1.0, "num_predict": length}}, timeout=600)
            checks.equal(status, 200, f"chat {number}: Ollama's status")
            checks.equal(json.loads(answer)["message"]["content"],
                         ask(chat)["choices"][0]["message"]["content"],
                         f"chat {number}: Ollama's text")

    checks.run(chats, ollama)
print(f"{compared} tokens are equal")
sys.exit(checks.close())
