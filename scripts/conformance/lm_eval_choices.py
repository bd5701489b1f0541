#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `eft eval --tasks` with lm-evaluation-harness on the same questions and model: lm_eval_choices.py EFT MODEL FILE"""

import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

METRICS = ["acc", "acc_norm", "acc_bytes"]


def question(row):
    """Context, choices and answer of a row, by the templates of lm-eval's own tasks."""
    if "endings" in row:
        from lm_eval.tasks.hellaswag.utils import preprocess
        context = row["ctx_a"] + " " + row["ctx_b"].capitalize() if "ctx_a" in row else row["ctx"]
        if "activity_label" in row:
            context = row["activity_label"] + ": " + context
        return preprocess(context), [preprocess(ending) for ending in row["endings"]], int(row["label"])
    choices = row["choices"]
    texts = choices["text"] if isinstance(choices, dict) else choices
    if "query" in row:
        return row["query"], texts, row["gold"]
    answer = row.get("answerKey", row.get("answer"))
    if isinstance(choices, dict):
        answer = choices["label"].index(answer)
    elif isinstance(answer, str):
        answer = texts.index(answer) if answer in texts else "ABCDEFGHIJ".index(answer)
    return f"Question: {row['question']}\nAnswer:", texts, answer


def read(path):
    with open(path, encoding="utf-8") as file:
        return [question(json.loads(line)) for line in file if line.strip()]


def evaluate(model, questions):
    """lm-eval's results, and the log-likelihoods of each question's choices."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for context, choices, gold in questions:
            file.write(json.dumps({"query": context, "choices": choices, "gold": gold}) + "\n")
        file.flush()
        task = {
            "task": "choices", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": file.name}},
            "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{query}}",
            "doc_to_choice": "choices", "doc_to_target": "gold",
            "metric_list": [
                {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in METRICS],
        }
        found = lm_eval.simple_evaluate(
            HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=1), tasks=[task],
            bootstrap_iters=0, log_samples=True)
    samples = sorted(found["samples"]["choices"], key=lambda sample: sample["doc_id"])
    scores = [[float(answer[0][0]) for answer in sample["resps"]] for sample in samples]
    return {name: found["results"]["choices"][f"{name},none"] for name in METRICS}, scores


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, model, path = sys.argv[1:]
    wanted, _ = evaluate(model, read(path))
    answer = subprocess.run(
        [program, "eval", "-m", model, "--tasks", path, "--precision", "f32", "--json"],
        check=True, stdout=subprocess.PIPE)
    found = json.loads(answer.stdout)
    failed = [name for name in METRICS if abs(found[name] - wanted[name]) > 1e-9]
    for name in METRICS:
        print(f"{name}: {found[name]:.6f}, lm-eval {wanted[name]:.6f}")
    print(f"{found['questions']} questions, {len(METRICS) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
