#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training beside PyTorch with PEFT, and preferences beside TRL, in turn on the same rows and threads.

    peft.py EFT MODEL lora [ROUNDS [THREADS]]    LoRA of rank 16 on all linear layers, steps of 2 rows of 512 tokens
    peft.py EFT MODEL dpo [ROUNDS [THREADS]]     the same by DPO, steps of 2 pairs of answers of 64 tokens to prompts of 192

Rows are random tokens, so that both see the same ones. Both train in bf16 where the processor has it, and keep activations or compute them again,
whichever is faster for them. A figure is the median of the steps but the first two. Needs torch, transformers, peft; for dpo trl
and datasets too.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

# This file has the name of a package that it imports.
sys.path = [path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))]

STEPS = 8


def rows(vocabulary, kind, path):
    dice = random.Random(7)
    draw = lambda count: [dice.randrange(1000, vocabulary - 1000) for _ in range(count)]  # noqa: E731
    with open(path, "w", encoding="ascii") as file:
        for _ in range(2 * STEPS):
            if kind == "lora":
                ids = draw(512)
                row = {"input_ids": ids, "attention_mask": [1] * 512, "labels": ids}
            else:
                row = {"prompt": draw(192), "chosen": draw(64), "rejected": draw(64)}
            file.write(json.dumps(row) + "\n")


def measured(command, **options):
    """The command's output, and the most memory that it held, in MiB."""
    ran = subprocess.run(["/usr/bin/time", "-f", "peak %M"] + command, capture_output=True, text=True, **options)
    if ran.returncode:
        sys.exit(ran.stderr)
    return ran.stdout, int(re.findall(r"peak (\d+)", ran.stderr)[-1]) / 1024


# Eft

def eft(program, model, kind, folder, threads, checkpointing):
    path = os.path.join(folder, "rows.jsonl")
    if kind == "dpo":
        texts = os.path.join(folder, "texts.jsonl")
        write_texts(model, path, texts)
        path = texts
    output = os.path.join(folder, "eft")
    config = os.path.join(folder, "c.yml")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"base_model: {model}\ndatasets: [{{path: {path}}}]\noutput_dir: {output}\nadapter: lora\nlora_r: 16\n"
                   "lora_alpha: 32\nlora_target_linear: true\nsequence_len: 512\nmicro_batch_size: 2\n"
                   f"gradient_accumulation_steps: 1\nlearning_rate: 0.0001\nnum_epochs: 1\nsave_strategy: 'no'\n"
                   f"logging_steps: 1\nbf16: auto\ngradient_checkpointing: {str(checkpointing).lower()}\n"
                   + ("rl: dpo\n" if kind == "dpo" else ""))
    subprocess.run(["rm", "-rf", output], check=True)
    _, peak = measured([program, "train", config, "--threads", str(threads)])
    steps = [json.loads(line) for line in open(os.path.join(output, "training_log.jsonl"), encoding="utf8")]
    speeds = [step["tokens_per_second"] for step in steps if "tokens_per_second" in step]
    return statistics.median(speeds[2:]), peak


def write_texts(model, source, target):
    """Pairs as texts, which both tokenize to about as many tokens."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    with open(source, encoding="ascii") as rows_, open(target, "w", encoding="utf8") as file:
        for line in rows_:
            file.write(json.dumps({key: tokenizer.decode(ids) for key, ids in json.loads(line).items()}) + "\n")


# The peer, in a process of its own

def peer_lora(model, folder, threads, checkpointing, dtype):
    import time

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    if checkpointing:
        base.gradient_checkpointing_enable()
        base.enable_input_require_grads()
    adapted = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-4)
    data = [json.loads(line) for line in open(os.path.join(folder, "rows.jsonl"), encoding="ascii")]
    speeds = []
    adapted.train()
    for step in range(STEPS):
        start = time.perf_counter()
        ids = torch.tensor([row["input_ids"] for row in data[2 * step:2 * step + 2]])
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        speeds.append(ids.numel() / (time.perf_counter() - start))
    print(statistics.median(speeds[2:]))


def peer_dpo(model, folder, threads, checkpointing, dtype):
    import time

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    torch.set_num_threads(threads)

    class Clock(TrainerCallback):
        def __init__(self):
            self.marks = []

        def on_step_end(self, *_, **__):
            self.marks.append(time.perf_counter())

    with open(os.path.join(folder, "texts.jsonl"), encoding="utf8") as file:
        data = Dataset.from_list([json.loads(line) for line in file])
    base = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    settings = DPOConfig(
        output_dir=os.path.join(folder, "trl"), per_device_train_batch_size=2, num_train_epochs=1, learning_rate=1e-4,
        logging_steps=100, save_strategy="no", report_to=[], use_cpu=True, bf16=dtype == "bfloat16",
        gradient_checkpointing=checkpointing, max_length=512, dataloader_pin_memory=False)
    clock = Clock()
    trainer = DPOTrainer(
        model=base, args=settings, train_dataset=data, processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[clock])
    trainer.train()
    tokens = statistics.mean(
        2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in trainer.train_dataset)
    times = [b - a for a, b in zip(clock.marks[1:], clock.marks[2:])]
    print(2 * tokens / statistics.median(times))


def peer(model, kind, folder, threads, checkpointing, dtype):
    command = [sys.executable, os.path.abspath(__file__), "--peer", model, kind, folder, str(threads),
               str(int(checkpointing)), dtype]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    output, peak = measured(command, env=environment)
    return float(output.split()[-1]), peak


def main():
    if sys.argv[1] == "--peer":
        model, kind, folder, threads, checkpointing, dtype = sys.argv[2:8]
        run = peer_lora if kind == "lora" else peer_dpo
        return run(model, folder, int(threads), checkpointing == "1", dtype)
    program, model, kind = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    threads = int(sys.argv[5]) if len(sys.argv) > 5 else os.cpu_count()
    vocabulary = json.load(open(os.path.join(model, "config.json"), encoding="utf8"))["vocab_size"]
    with tempfile.TemporaryDirectory() as folder:
        rows(vocabulary, kind, os.path.join(folder, "rows.jsonl"))
        forms = {
            "eft, kept": lambda: eft(program, model, kind, folder, threads, False),
            "eft, computed again": lambda: eft(program, model, kind, folder, threads, True),
            "peer bf16, kept": lambda: peer(model, kind, folder, threads, False, "bfloat16"),
            "peer bf16, computed again": lambda: peer(model, kind, folder, threads, True, "bfloat16"),
            "peer f32, kept": lambda: peer(model, kind, folder, threads, False, "float32"),
        }
        found = {name: [] for name in forms}
        for _ in range(rounds):
            for name, run in forms.items():
                found[name].append(run())
        for name, results in found.items():
            speed = statistics.median(result[0] for result in results)
            peak = statistics.median(result[1] for result in results)
            print(f"{name:27} {speed:8.1f} tokens/s  {peak:8.0f} MiB  of " + ", ".join(f"{r[0]:.0f}" for r in results))
        best = {side: max((statistics.median(r[0] for r in results), name) for name, results in found.items()
                          if name.startswith(side)) for side in ("eft", "peer")}
        ratio = best["eft"][0] / best["peer"][0]
        memory = [statistics.median(r[1] for r in found[best[side][1]]) for side in ("eft", "peer")]
        print(f"{ratio:.2f} times the peer's speed, {memory[0] / memory[1]:.2f} of its memory "
              f"({best['eft'][1]}; {best['peer'][1]})")


if __name__ == "__main__":
    main()
