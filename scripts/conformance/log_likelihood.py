#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the perplexity of a text with that of transformers in f32, window by window.

usage: log_likelihood.py PROGRAM MODEL TEXT [LENGTH]    LENGTH: tokens of a window (2048)
"""

import json
import math
import os
import subprocess
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

program, folder, text = sys.argv[1:4]
length = int(sys.argv[4]) if len(sys.argv) > 4 else 2048

found = json.loads(subprocess.run(
    [program, "eval", "-m", folder, "--data", text, "--length", str(length), "--precision", "f32",
     "--json"], check=True, capture_output=True, text=True).stdout)

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager").eval()
ids = tokenizer(open(text, encoding="utf-8").read(), return_tensors="pt").input_ids[0]
total, count = 0.0, 0
with torch.no_grad():
    for first in range(0, len(ids), length):
        window = ids[first:first + length]
        if len(window) < 2:
            continue
        logits = model(input_ids=window[None], use_cache=False).logits[0]
        total += torch.nn.functional.cross_entropy(
            logits[:-1].float(), window[1:], reduction="sum").item()
        count += len(window) - 1
wanted = math.exp(total / count)
error = abs(math.log(found["perplexity"]) - total / count) / (total / count)
print(f"{count} tokens: perplexity {found['perplexity']:.6f}, transformers {wanted:.6f}, "
      f"log-likelihood off by {error:.1e}")
sys.exit(0 if error < 1e-4 else 1)
