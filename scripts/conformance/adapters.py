# SPDX-License-Identifier: Apache-2.0
"""Writes small PEFT adapters with random weights for the demo model."""

import array
import json
import os
import random

HIDDEN, KEYS, LAYERS = 256, 128, 4


def write_adapter(folder, seed, rank=4, scale=0.05):
    """An adapter of all q_proj and v_proj."""
    os.makedirs(folder, exist_ok=True)
    dice = random.Random(seed)
    tensors, data = {}, bytearray()
    for layer in range(LAYERS):
        for name, outputs in (("q_proj", HIDDEN), ("v_proj", KEYS)):
            for part, shape in (("A", (rank, HIDDEN)), ("B", (outputs, rank))):
                key = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{part}.weight"
                values = array.array(
                    "f", (dice.gauss(0, scale) for _ in range(shape[0] * shape[1])))
                start = len(data)
                data += values.tobytes()
                tensors[key] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + data)
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="ascii") as file:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank,
                   "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
                   "base_model_name_or_path": "demo", "use_rslora": False,
                   "target_modules": ["q_proj", "v_proj"]}, file)
    return folder
