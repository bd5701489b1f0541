#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard reads what a training run writes: tensorboard_runs.py PROGRAM

Trains the demo's adapter for some steps, then goes on from a checkpoint. tensorboard's own reader must find, for every number of
training_log.jsonl, the same number under transformers' tag at the same step, once."""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

program = pathlib.Path(sys.argv[1]).resolve()
root = pathlib.Path(__file__).resolve().parents[2]
passed = failed = 0


def check(holds, what):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print("FAILED:", what)


def train(folder, *more):
    subprocess.run(
        [program, "train", "Examples/demo/qlora.yml", "--max-steps", "6", "--evals-per-epoch", "7",
         "--saves-per-epoch", "7", "--use-tensorboard", "--output-dir", folder, *more],
        cwd=root, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tag(key):
    return "eval/" + key[len("eval_"):] if key.startswith("eval_") else "train/" + key


def as_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def compare(folder, files, what):
    runs = list((folder / "runs").iterdir())
    check(len(runs) == 1, f"{what}: one run, not {runs}")
    check(len(list(runs[0].iterdir())) == files, f"{what}: {files} event files")
    events = EventAccumulator(str(runs[0]))
    events.Reload()
    scalars = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    log = [json.loads(line) for line in (folder / "training_log.jsonl").open()]
    check(len(log) > 6, f"{what}: the log has {len(log)} lines")
    for line in log:
        for key, value in line.items():
            if key == "step":
                continue
            found = [v for step, v in scalars.get(tag(key), []) if step == line["step"]]
            # A step that was evaluated has two lines with an epoch.
            check(found and set(found) == {as_float32(value)}, f"{what}: {tag(key)} at {line['step']}: {found}, not {value}")
            check(key == "epoch" or len(found) == 1, f"{what}: {tag(key)} at {line['step']} stands {len(found)} times")
    for name in "train/loss", "train/grad_norm", "train/learning_rate", "train/epoch", "eval/loss", "eval/runtime":
        check(name in scalars, f"{what}: no {name}")
    check([step for step, _ in scalars["train/loss"]] == list(range(1, 7)), f"{what}: steps of train/loss")
    check([step for step, _ in scalars["train/train_loss"]] == [6], f"{what}: train/train_loss")


with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place) / "out"
    train(folder)
    compare(folder, 1, "a run")
    checkpoints = sorted(folder.glob("checkpoint-*"))
    check(len(checkpoints) > 1, "more than one checkpoint")
    train(folder, "--resume-from-checkpoint", checkpoints[0])
    compare(folder, 2, "a resumed run")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
