# SPDX-License-Identifier: Apache-2.0
"""PEFT loads the adapters that `eft train` writes, and both score a text alike.

    trained_adapters.py EFT MODEL [FORM ...]    MODEL: a Llama-like folder with a chat template; needs torch, transformers, peft

Each form trains a few steps on rows that are made here: new tokens whose rows are trained alone, embedding and head trained whole, an adapter on
the head or the embedding, some layers only, DoRA, adapters that begin from the base's weights. The mean loss of a text by PEFT on the resized base in
f32 must equal that of `eft eval` to a thousandth: rows of tokens are rounded to the type of the base, which PEFT holds in f32 here.
"""

import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

TOKENS = "tokens: ['<tool>', '</tool>', '<|note|>']\n"
FORMS = {
    "rows": TOKENS,
    "named rows": "peft_trainable_token_indices: [300, 301, 302]\n",
    "modules": TOKENS + "lora_modules_to_save: [embed_tokens, lm_head]\n",
    "embedding": "lora_modules_to_save: [embed_tokens]\n",
    "head": "lora_target_modules: [q_proj, lm_head]\n",
    "dora": "peft_use_dora: true\n",
    "dora with dropout": "peft_use_dora: true\npeft_use_rslora: true\nlora_dropout: 0.1\nlora_target_linear: true\n",
    "pissa": "peft_init_lora_weights: pissa\nlora_target_linear: true\n",
    "pissa by rounds": "peft_init_lora_weights: pissa_niter_4\n",
    "olora": "peft_init_lora_weights: olora\n",
    "orthogonal": "peft_init_lora_weights: orthogonal\n",
    "on the embedding": "lora_target_modules: [q_proj, embed_tokens]\n",
    "layers": "peft_layers_to_transform: [0, 2]\n",
}
TEXT = "The harbour lay quiet. <tool>look</tool> Nobody had lit the lamp <|note|> since the first snow fell on the quay. " * 4


def main():
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    eft, model = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        rows, text = os.path.join(folder, "rows.jsonl"), os.path.join(folder, "text.txt")
        with open(rows, "w", encoding="utf8") as file:
            for index in range(16):
                file.write(json.dumps({"text": f"<tool>{index}</tool> lamps <|note|> burn on quay {index}."}) + "\n")
        with open(text, "w", encoding="utf8") as file:
            file.write(TEXT)
        for name in sys.argv[3:] or FORMS:
            failures += check(eft, model, folder, rows, text, name)
    sys.exit(1 if failures else 0)


def check(eft, model, folder, rows, text, name):
    output, config = os.path.join(folder, name.replace(" ", "-")), os.path.join(folder, "c.yml")
    lines = FORMS[name]
    if "lora_target" not in lines:
        lines += "lora_target_modules: [q_proj, v_proj]\n"
    with open(config, "w", encoding="utf8") as file:
        file.write(f"base_model: {model}\ndatasets: [{{path: {rows}, type: completion}}]\noutput_dir: {output}\n"
                   "adapter: lora\nlora_r: 4\nlora_alpha: 8\nsequence_len: 128\nmicro_batch_size: 2\n"
                   "gradient_accumulation_steps: 1\nlearning_rate: 0.01\nwarmup_steps: 0\nmax_steps: 4\n"
                   f"save_strategy: 'no'\nfloat32: true\n{lines}")
    subprocess.run([eft, "train", config], check=True, capture_output=True)
    answer = subprocess.run([eft, "eval", "-m", model, "--adapter", output, "--data", text, "--length", "512",
                             "--precision", "f32", "--json"], check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout)
    tokenizer = AutoTokenizer.from_pretrained(output)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if len(tokenizer) > base.config.vocab_size:
        base.resize_token_embeddings(len(tokenizer))
    adapted = PeftModel.from_pretrained(base, output).eval()
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        loss = float(adapted(input_ids=ids, labels=ids).loss)
    nll = found["nll"]
    good = abs(nll - loss) < 1e-3 * loss and found["tokens"] == ids.shape[1] - 1
    print(f"{'ok  ' if good else 'FAIL'} {name}: eft {nll:.5f} over {found['tokens']} tokens, "
          f"PEFT {loss:.5f} over {ids.shape[1] - 1}")
    return 0 if good else 1


if __name__ == "__main__":
    main()
