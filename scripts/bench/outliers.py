#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model that computes the same with outliers in its activations: outliers.py MODEL OUT [EXPONENT]

Three inputs of each product become 2**EXPONENT (32) times as large, and the weights that read them as much smaller: exact
in bf16. It shows what a precision of activations does to a model that is harder than the one it was made of. For models of
Llama's form in one bf16 safetensors file.
"""

import json
import os
import random
import shutil
import struct
import sys

source, target = sys.argv[1:3]
exponent = int(sys.argv[3]) if len(sys.argv) > 3 else 5
os.makedirs(target, exist_ok=True)
for name in os.listdir(source):
    shutil.copy(os.path.join(source, name), target)
path = os.path.join(target, "model.safetensors")
data = bytearray(open(path, "rb").read())
size = struct.unpack_from("<Q", data)[0]
header = json.loads(data[8:8 + size])
dice = random.Random(1)


def scale(name, places, change):
    """Adds to the exponents of some elements; zeros stay."""
    tensor = header[name]
    assert tensor["dtype"] == "BF16", name
    start = 8 + size + tensor["data_offsets"][0]
    for place in places:
        at = start + 2 * place
        bits = struct.unpack_from("<H", data, at)[0]
        power = (bits >> 7 & 0xff) + change
        if bits & 0x7fff and 0 < power < 255:
            struct.pack_into("<H", data, at, bits & 0x807f | power << 7)


def columns(name, chosen):
    rows, width = header[name]["shape"]
    return [row * width + column for row in range(rows) for column in chosen]


layer = 0
while f"model.layers.{layer}.mlp.up_proj.weight" in header:
    block = f"model.layers.{layer}."
    for norm, readers in [("input_layernorm", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
                          ("post_attention_layernorm", ["mlp.gate_proj", "mlp.up_proj"])]:
        chosen = dice.sample(range(header[block + norm + ".weight"]["shape"][0]), 3)
        scale(block + norm + ".weight", chosen, exponent)
        for reader in readers:
            scale(block + reader + ".weight", columns(block + reader + ".weight", chosen), -exponent)
    rows, width = header[block + "mlp.up_proj.weight"]["shape"]
    chosen = dice.sample(range(rows), 3)
    scale(block + "mlp.up_proj.weight", [row * width + column for row in chosen for column in range(width)], exponent)
    scale(block + "mlp.down_proj.weight", columns(block + "mlp.down_proj.weight", chosen), -exponent)
    layer += 1
with open(path, "wb") as file:
    file.write(data)
