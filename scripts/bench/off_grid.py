#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes a model off the grid that it was once quantized to, so that formats can be compared on it.

    off_grid.py MODEL TEXT OUT [--steps N] [--rate R] [--tokens N] [--rows N] [--length N]

A model that was made from a 4-bit file has weights on that file's grid, and a quantizer with the same grid gets them
back without an error. Here each block of 32 inputs of a linear gets uniform noise as wide as a step of its 16 levels
(256 levels for the embedding), which leaves no grid; then all weights are trained for some steps to predict what the
model predicted before, on TEXT, so that the result is a good model again. Needs torch and transformers.
"""

import argparse
import math
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BLOCK = 32


def levels(name):
    return 255 if "embed_tokens" in name or "lm_head" in name else 15


def blocks(weight):
    return weight.reshape(weight.shape[0], -1, BLOCK)


def step_sizes(name, weight):
    parts = blocks(weight)
    return (parts.amax(2, keepdim=True) - parts.amin(2, keepdim=True)) / levels(name)


def distance_from_grid(name, weight, original):
    """The mean distance to the nearest level of the original's grid, in steps; a quarter is what no grid gives."""
    step = step_sizes(name, original).clamp_min(1e-12)
    place = (blocks(weight) - blocks(original).amin(2, keepdim=True)) / step
    return (place - place.round()).abs().mean().item()


def add_noise(model, generator):
    for name, weight in model.named_parameters():
        if weight.dim() != 2:
            continue
        noise = torch.rand(blocks(weight).shape, generator=generator) - 0.5
        weight.data += (noise * step_sizes(name, weight.data)).reshape(weight.shape)


def divergence(model, teacher, rows):
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            wanted = teacher(rows).logits.float().log_softmax(-1)
        found = model(rows).logits.float().log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1).mean()


def heal(model, teacher, ids, options):
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.99), weight_decay=0)
    generator = torch.Generator().manual_seed(2)
    for step in range(options.steps):
        share = step / options.steps
        rate = options.rate * min(1, (step + 1) / 5) * (0.5 + 0.5 * math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(0, len(ids) - options.length, (options.rows,), generator=generator)
        rows = torch.stack([ids[start : start + options.length] for start in starts.tolist()])
        began = time.time()
        loss = divergence(model, teacher, rows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        print(f"step {step + 1} divergence {loss.item():.4f} {time.time() - began:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    options = parser.parse_args()
    teacher = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    ids = torch.tensor(tokenizer(open(options.text, encoding="utf-8").read()).input_ids)
    add_noise(model, torch.Generator().manual_seed(1))
    heal(model, teacher, ids, options)
    model.to(torch.bfloat16).save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    originals = dict(teacher.named_parameters())
    far = [
        distance_from_grid(name, weight.data.float(), originals[name].data)
        for name, weight in model.named_parameters()
        if weight.dim() == 2
    ]
    print(f"distance from the old grid: {min(far):.4f} to {max(far):.4f} steps (0.25: none is left)")


if __name__ == "__main__":
    main()
