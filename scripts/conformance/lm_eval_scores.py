#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares log-likelihoods that lm-eval gets from a server with those of transformers in f32: lm_eval_scores.py PROGRAM"""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI
from transformers import AutoModelForCausalLM, AutoTokenizer

from server import DEMO, NAME, ROOT, Checks, serving

checks = Checks()
tokenizer = AutoTokenizer.from_pretrained(DEMO)
model = AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32).eval()


def pairs():
    """Contexts with endings, from text that the model has not seen."""
    with open(os.path.join(ROOT, "Examples", "demo", "valid.txt"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if len(line.split()) > 8]
    for line in lines[:60]:
        words = line.split()
        middle = len(words) // 2
        context, ending = " ".join(words[:middle]), " " + " ".join(words[middle:])
        yield context, ending
        yield context, " a boat and a lantern."
    # Texts as long as the context allows.
    yield " ".join(lines)[:1200], " " + lines[3]


def expected(context, ending):
    """The sum over the ending's tokens, and whether each is the likeliest."""
    whole = tokenizer(context + ending).input_ids
    start = len(tokenizer(context).input_ids)
    with torch.no_grad():
        scores = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    rows, targets = scores[start - 1:-1], torch.tensor(whole[start:])
    return (rows.gather(1, targets[:, None]).sum().item(),
            bool((rows.argmax(-1) == targets).all()), len(targets))


with serving(sys.argv[1], "--precision", "f32", "--kv-cache-dtype", "f32") as server:
    def loglikelihoods():
        api = LocalCompletionsAPI(
            model=NAME, base_url=server.url + "/v1/completions", tokenizer=DEMO,
            tokenizer_backend="huggingface", num_concurrent=4, max_length=512, batch_size=8,
            add_bos_token=True)
        requests = list(pairs())
        found = api.loglikelihood([
            Instance("loglikelihood", {}, pair, at) for at, pair in enumerate(requests)])
        worst = 0
        for (context, ending), (score, greedy) in zip(requests, found):
            wanted, isGreedy, count = expected(context, ending)
            worst = max(worst, abs(score - wanted) / count)
            checks.that(abs(score - wanted) < 1e-3, f"log-likelihood of {ending[:40]!r}",
                        (score, wanted, count))
            checks.equal(bool(greedy), isGreedy, f"greedy {ending[:40]!r}")
        print(f"{len(found)} log-likelihoods, worst difference {worst:.1e} a token")

    def generation():
        api = LocalCompletionsAPI(
            model=NAME, base_url=server.url + "/v1/completions", tokenizer=DEMO,
            tokenizer_backend="huggingface", num_concurrent=2, max_length=512,
            add_bos_token=True)
        prompt = "Question: What is pea soup made of?\nAnswer:"
        found = api.generate_until([Instance(
            "generate_until", {}, (prompt, {"until": ["\n"], "max_gen_toks": 40}), 0)])[0]
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        wanted = tokenizer.decode(
            model.generate(ids, max_new_tokens=40, do_sample=False)[0][ids.shape[1]:],
            skip_special_tokens=True).split("\n")[0]
        checks.equal(found, wanted, "generated text")

    checks.run(loglikelihoods, generation)
sys.exit(checks.close())
