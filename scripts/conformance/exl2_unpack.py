#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unpacks an EXL2 folder by the format's definition alone, and compares Eft's reading of it with the result.

    exl2_unpack.py EXL2 DENSE                 writes the folder DENSE in f32
    exl2_unpack.py EXL2 DENSE EFT TEXT        does so, and asks `eft eval --compare` how far the two are on TEXT

Each linear is unpacked from q_weight, q_scale, q_scale_max, q_groups and q_invperm with half precision rounded where
ExLlamaV2 rounds it, but for the comparison with Eft, which multiplies codes by their scales in f32 and does not round
that product again; other tensors are kept. A head that is stored beside an embedding is no longer tied to it. Eft must
find the same likeliest token everywhere and states that differ by rounding alone. Needs numpy and safetensors.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import save_file

PARTS = ["q_weight", "q_scale", "q_scale_max", "q_groups", "q_invperm"]


class Folder:
    """The tensors of all safetensors files of a folder."""

    def __init__(self, path):
        self.files = {}
        for file in sorted(pathlib.Path(path).glob("*.safetensors")):
            opened = safe_open(str(file), framework="numpy")
            self.files.update({name: opened for name in opened.keys()})

    def names(self):
        return set(self.files)

    def __getitem__(self, name):
        return self.files[name].get_tensor(name)


def half(values):
    """Rounded to half precision, subnormal numbers kept."""
    return values.astype(numpy.float16).astype(numpy.float32)


def codes_of(words, bits, rows):
    """Codes [rows][N] of one group: each column's words are one stream of bits, the lowest first."""
    places = numpy.arange(rows * bits)
    stream = (words[places // 32] >> (places % 32)[:, None].astype(numpy.uint32)) & 1
    weights = (1 << numpy.arange(bits)).astype(numpy.int32)
    return (stream.reshape(rows, bits, -1).astype(numpy.int32) * weights[None, :, None]).sum(1)


def unpack(tensors, is_rounded):
    """The matrix [K][N] in f32, inputs in their original order; the last product rounded to half precision or not."""
    words = tensors["q_weight"].view(numpy.uint32)
    scales = tensors["q_scale"].view(numpy.uint32)
    largest = tensors["q_scale_max"].astype(numpy.float32)
    groups = tensors["q_groups"].view(numpy.uint16).astype(int).reshape(-1, 2)
    inverse = tensors["q_invperm"]
    ends = list(groups[1:, 1]) + [len(words)]
    stored = []
    for group, ((bits, start), end) in enumerate(zip(groups, ends)):
        rows = (end - start) * 32 // bits
        codes = codes_of(words[start:end], bits, rows)
        nibbles = (scales[group][:, None] >> (4 * numpy.arange(8, dtype=numpy.uint32))) & 15
        steps = nibbles.reshape(-1).astype(numpy.float32) + 1
        maximum = half(largest[group] * numpy.float32(1 / 256))
        scale = half(half(steps * steps) * maximum)
        product = (codes - (1 << (bits - 1))).astype(numpy.float32) * scale
        stored.append(half(product) if is_rounded else product)
    return numpy.concatenate(stored)[inverse]


def dense_tensors(packed, vocabulary, is_rounded):
    """All tensors in f32, linears as [out][in]."""
    tensors = {}
    for name in sorted(packed.names()):
        key, part = name.rsplit(".", 1)
        if part == "q_weight":
            matrix = unpack({part: packed[f"{key}.{part}"] for part in PARTS}, is_rounded).T
            # The last columns of a padded head belong to nobody.
            matrix = matrix[:vocabulary] if key == "lm_head" else matrix
            tensors[f"{key}.weight"] = numpy.ascontiguousarray(matrix)
        elif part not in PARTS:
            tensors[name] = packed[name].astype(numpy.float32)
    return tensors


def write(source, target, is_rounded):
    """Writes the unpacked folder; returns how many linears it has."""
    target.mkdir()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".txt", ".model") and "index" not in file.name:
            shutil.copy(file, target / file.name)
    config = json.loads((source / "config.json").read_text())
    tensors = dense_tensors(Folder(source), config["vocab_size"], is_rounded)
    config.pop("quantization_config", None)
    config.pop("dtype", None)
    config["torch_dtype"] = "float32"
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, str(target / "model.safetensors"), metadata={"format": "pt"})
    return sum(name.endswith(".q_weight") for name in Folder(source).names())


def compare(eft, source, target, text):
    answer = subprocess.run(
        [eft, "eval", "-m", source, "--compare", target, "--data", text, "--length", "512", "--precision", "f32",
         "--json"], check=True, stdout=subprocess.PIPE)
    found = json.loads(answer.stdout)
    layers, divergence = found["layer_errors"], found["kl_divergence"]
    print(f"{found['tokens']} tokens: KL mean {divergence['mean']:.1e}, largest {divergence['max']:.1e}; largest error "
          f"of a layer {max(layers):.1e}; same likeliest token {found['top1_agreement'] * 100:.3f} %")
    return max(layers) < 2e-5 and divergence["mean"] < 1e-8 and found["top1_agreement"] == 1


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    print(f"{write(source, target, len(sys.argv) == 3)} linears unpacked")
    if len(sys.argv) == 5 and not compare(sys.argv[3], source, target, sys.argv[4]):
        sys.exit("Eft reads other weights")


if __name__ == "__main__":
    main()
