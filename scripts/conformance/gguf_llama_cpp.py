#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp loads the GGUF files that Eft writes, and finds the same numbers in them.

usage: gguf_llama_cpp.py EFT models TEXT FOLDER...   written in three types: greedy answers and the perplexity of a text
       gguf_llama_cpp.py EFT families [NAME...]      the small models of Tests/Fixtures/architectures in f32: logits equal transformers'
       gguf_llama_cpp.py EFT adapters                a GGUF adapter on its base: logits equal PEFT's

Needs llama-cpp-python, numpy and safetensors.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

import numpy
from llama_cpp import Llama
from safetensors.numpy import load_file

TYPES = {"f16": 1.0, "q8_0": 1.0, "q4_k_m": 1.0}
PROMPTS = ["The capital of France is", "def largest(numbers):\n", "Once upon a time there was a lighthouse"]
ANSWER = 40
WINDOW = 512
# How far ahead the likeliest token may be where the first difference stands: llama.cpp rounds activations to 16 or 8 bits.
MARGINS = {"f16": 0.05, "q8_0": 0.5, "q4_k_m": 0.8}
FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "Tests", "Fixtures")
# Small models that llama.cpp runs as others, and why. Those that it would not load Eft refuses. The tests compare their files with those of
# llama.cpp's own conversion.
LEFT = {
    "phi3": "a window, which it leaves out",
    "phi3-long": "factors by the length of a text, which it takes by that of the cache",
}
# Of these config.json says what no file can.
LEFT |= dict.fromkeys(["deepseek-v3", "dots1", "falcon", "falcon-new", "minicpm3", "phimoe"], "settings that a file has no key for")

failures = 0


def check(holds, what):
    global failures
    failures += 0 if holds else 1
    print(("ok    " if holds else "FAILS ") + what, flush=True)


def eft(*arguments):
    done = subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def load(path, length, **more):
    """A model with a cache in f32, whose logits are kept."""
    return Llama(model_path=path, n_ctx=length, n_batch=length, n_ubatch=length, logits_all=True, verbose=False,
                 n_threads=1, n_threads_batch=1, n_gpu_layers=0, type_k=0, type_v=0, flash_attn=False, **more)


def logits(model, tokens):
    model.reset()
    model.eval(tokens)
    return numpy.array(model.scores[:len(tokens)])


def log_likelihood(rows, tokens):
    """Of all tokens but the first."""
    total = 0.0
    for row, token in zip(rows, tokens[1:]):
        row = row.astype(numpy.float64)
        top = row.max()
        total += row[token] - top - math.log(numpy.exp(row - top).sum())
    return total


def greedy(model, prompt):
    """The answer's tokens, and how far each was ahead of the second likeliest."""
    model.reset()
    model.eval(prompt)
    answer, margins = [], []
    for place in range(ANSWER):
        row = numpy.array(model.scores[len(prompt) + place - 1], dtype=numpy.float64)
        second, first = numpy.sort(numpy.partition(row, -2)[-2:])
        answer.append(int(row.argmax()))
        margins.append(first - second)
        model.eval(answer[-1:])
    return answer, margins


def compare_answers(model, path, kind):
    for prompt in PROMPTS:
        found = json.loads(eft(
            "run", path, prompt, "--raw", "--temperature", "0", "--precision", "f32", "--kv-cache-dtype", "f32",
            "--ignore-eos", "-t", str(ANSWER), "--json"))["tokens"]
        wanted, margins = greedy(model, model.tokenize(prompt.encode(), add_bos=True, special=False))
        same = next((i for i in range(ANSWER) if i >= len(found) or found[i] != wanted[i]), ANSWER)
        note = "" if same == ANSWER else f", there {margins[same]:.3f} ahead"
        check(same == ANSWER or margins[same] < MARGINS[kind],
              f"{kind}: {same} of {ANSWER} tokens behind {prompt[:12]!r}{note}")


def compare_text(path, text, kind):
    found = json.loads(eft("eval", "-m", path, "--data", text, "--length", str(WINDOW), "--precision", "f32", "--json"))
    model = load(path, WINDOW)
    tokens = model.tokenize(open(text, "rb").read(), add_bos=True, special=False)
    total, count = 0.0, 0
    for first in range(0, len(tokens), WINDOW):
        window = tokens[first:first + WINDOW]
        if len(window) > 1:
            total += log_likelihood(logits(model, window), window)
            count += len(window) - 1
    wanted = math.exp(-total / count)
    off = found["perplexity"] / wanted - 1
    check(abs(off) < 0.01,
          f"{kind}: perplexity {found['perplexity']:.4f}, llama.cpp {wanted:.4f} of {count} tokens, {100 * off:+.3f} %")


def models(text, folders):
    with tempfile.TemporaryDirectory() as place:
        for folder in folders:
            for kind in TYPES:
                path = os.path.join(place, f"{os.path.basename(os.path.normpath(folder))}-{kind}.gguf")
                eft("convert", folder, path, "--type", kind)
                print(path, os.path.getsize(path), "bytes", flush=True)
                compare_answers(load(path, WINDOW), path, kind)
                compare_text(path, text, kind)
                os.remove(path)


class Recipe:
    """A file that llama.cpp's conversion wrote, made of the numbers of a fixture (Tests/EftTestSupport/GGUFRecipe.swift)."""

    def __init__(self, name):
        with open(os.path.join(FIXTURES, "gguf/recipes", name + ".recipe"), "rb") as file:
            self.bytes, self.place = file.read(), 0

    def take(self, count):
        self.place += count
        return self.bytes[self.place - count:self.place]

    def next(self):
        return int.from_bytes(self.take(4), "little", signed=True)

    def write(self, source, path):
        out = bytearray(self.take(self.next()))
        head = len(out)
        for _ in range(self.next()):
            first = head + self.next()
            out += bytes(first - len(out))
            for _ in range(self.next()):
                if self.next() == 1:
                    out += self.take(self.next())
                    continue
                place, step = self.next(), self.next()
                for index in range(self.next()):
                    out += source[place + index * step:place + index * step + 4]
        with open(path, "wb") as file:
            file.write(out)


def tokenizer(place):
    """The folder of a tokenizer of as many tokens as the small models have."""
    folder = os.path.join(FIXTURES, "architectures/olmo2")
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        Recipe("olmo2").write(file.read(), os.path.join(place, "tokens.gguf"))
    eft("convert", os.path.join(place, "tokens.gguf"), os.path.join(place, "tokens"))
    return os.path.join(place, "tokens")


def with_tokenizer(folder, tokens, path):
    os.makedirs(path)
    for name in ["config.json", "model.safetensors"]:
        shutil.copy(os.path.join(folder, name), path)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(os.path.join(tokens, name), path)
    return path


def distance(found, wanted):
    return abs(found - wanted).max() / max(abs(wanted).max(), 1e-9)


def compare_family(name, tokens, place):
    folder = os.path.join(FIXTURES, "architectures", name)
    # llama.cpp takes some names of models as a word about their tokens.
    model, path = os.path.join(place, "model"), os.path.join(place, "model.gguf")
    shutil.rmtree(model, ignore_errors=True)
    try:
        eft("convert", with_tokenizer(folder, tokens, model), path, "--type", "f32")
    except RuntimeError as error:
        print(f"left  {name}: {str(error).split(': ', 2)[-1].split(';')[0]}", flush=True)
        return
    golden = load_file(os.path.join(folder, "golden.safetensors"))
    try:
        loaded = load(path, 64)
        os.remove(path)
    except ValueError:
        check(False, f"{name}: is not loaded")
        return
    worst = 0.0
    for case in range(3):
        ids = golden[f"ids_{case}"].reshape(-1).tolist()
        worst = max(worst, distance(logits(loaded, ids)[:, :golden[f"logits_{case}"].shape[-1]],
                                    golden[f"logits_{case}"].reshape(len(ids), -1)))
    # Exponentials and GELU come from tables of half-precision numbers there.
    check(worst < 5e-3, f"{name}: logits off by {worst:.1e}")


def families(names):
    with tempfile.TemporaryDirectory() as place:
        tokens = tokenizer(place)
        for name in names or sorted(os.listdir(os.path.join(FIXTURES, "architectures"))):
            if name in LEFT:
                print(f"left  {name}: {LEFT[name]}", flush=True)
            else:
                compare_family(name, tokens, place)


def adapters():
    """An adapter of llama.cpp's own conversion on a base that Eft wrote."""
    golden = load_file(os.path.join(FIXTURES, "lora/gqa-tied/golden.safetensors"))
    with tempfile.TemporaryDirectory() as place:
        folder = with_tokenizer(
            os.path.join(FIXTURES, "models/gqa-tied"), tokenizer(place), os.path.join(place, "base"))
        path = os.path.join(place, "base.gguf")
        eft("convert", folder, path, "--type", "f32")
        model = load(path, 64, lora_path=os.path.join(FIXTURES, "gguf/adapters/gqa-tied.gguf"))
        worst = 0.0
        for case in range(3):
            ids = golden[f"ids_{case}"].reshape(-1).tolist()
            worst = max(worst, distance(logits(model, ids), golden[f"logits_{case}"]))
        check(worst < 5e-3, f"gqa-tied with its adapter: logits off by {worst:.1e}")


def main():
    if sys.argv[2] == "models":
        models(sys.argv[3], sys.argv[4:])
    elif sys.argv[2] == "families":
        families(sys.argv[3:])
    elif sys.argv[2] == "adapters":
        adapters()
    else:
        sys.exit(__doc__)
    print("all holds" if failures == 0 else f"{failures} failed")
    sys.exit(0 if failures == 0 else 1)


if __name__ == "__main__":
    main()
