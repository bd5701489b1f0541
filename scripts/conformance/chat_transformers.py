#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares greedy chats of `eft chat` and `eft run` with transformers in f32, token for token.

usage: chat_transformers.py EFT MODEL [TOKENS]    MODEL has a chat template; needs torch and transformers
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CHATS = [
    ["What is the capital of France?", "And of Italy?", "Which of the two is larger?"],
    ["Write one sentence about the sea.", "Make it shorter."],
    ["Count from one to ten.", "Now backwards.", "What comes after ten?"],
    ["What is 12 + 30?", "Why?"],
    ["Name three animals that can fly.", "Which of them sings?", "Tell me more about it."],
]
SYSTEMS = [None, "Answer briefly.", None, "You are a teacher.", None]


def reference(model, tokenizer, messages, tokens):
    """The answer's tokens, without the one that ends it, and its text."""
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        output = model.generate(**prompt, max_new_tokens=tokens, do_sample=False)
    answer = output[0, prompt["input_ids"].shape[1]:].tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    if answer and answer[-1] in ends:
        answer.pop()
    return answer, tokenizer.decode(answer, skip_special_tokens=True)


def chat(eft, folder, system, questions, tokens):
    """The answers of `eft chat`, by the file that it saves."""
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "chat.json")
        command = [eft, "chat", folder, "--temperature", "0", "--precision", "f32",
                   "--kv-cache-dtype", "f32", "-t", str(tokens)]
        if system:
            command += ["--system", system]
        lines = "".join(question + "\n" for question in questions) + f"/save {path}\n"
        subprocess.run(command, input=lines, text=True, check=True, capture_output=True)
        with open(path) as file:
            messages = json.load(file)["messages"]
    return [message["content"] for message in messages if message["role"] == "assistant"]


def run(eft, folder, system, question, tokens):
    """The tokens of `eft run`."""
    command = [eft, "run", folder, question, "--temperature", "0", "--precision", "f32",
               "--kv-cache-dtype", "f32", "-t", str(tokens), "--json"]
    if system:
        command += ["--system", system]
    return json.loads(subprocess.run(
        command, text=True, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout)["tokens"]


def main():
    eft, folder = sys.argv[1], sys.argv[2]
    tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 48
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    failures = 0
    for number, (system, questions) in enumerate(zip(SYSTEMS, CHATS), 1):
        answers = chat(eft, folder, system, questions, tokens)
        messages = [{"role": "system", "content": system}] if system else []
        for turn, question in enumerate(questions):
            messages.append({"role": "user", "content": question})
            wanted, text = reference(model, tokenizer, messages, tokens)
            # A chat shows text: the same text in the same template is the same tokens.
            is_same = turn < len(answers) and answers[turn] == text
            if turn == 0 and is_same:
                is_same = run(eft, folder, system, question, tokens) == wanted
            failures += not is_same
            print(f"chat {number} turn {turn + 1}: {len(wanted)} tokens, {'same' if is_same else 'DIFFERENT'}")
            if not is_same:
                print(f"  transformers: {text!r}\n  eft:          {answers[turn:turn + 1]!r}")
            messages.append({"role": "assistant", "content": text})
    print("all answers are the same" if not failures else f"{failures} answers differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
